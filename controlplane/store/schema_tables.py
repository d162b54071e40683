"""
Defines the table of the schema's own history.

It is of no org: one row for each revision that was run since the table exists. Replicas read it
when they start; only the owner, who migrates, writes it.
"""

from sqlalchemy import Column, Table, Text

from controlplane.store.columns import at, metadata, text_column

schema_steps = Table(
    "schema_steps",
    metadata,
    Column("revision", Text, primary_key=True),
    text_column("kind"),  # core.schema_steps.StepKind
    text_column("subject"),
    text_column("requires"),  # of a contract step: the oldest schema that programs may have
    text_column("release"),  # the Volary that ran it
    at("started_at"),
    at("ended_at"),
)
