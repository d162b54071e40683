"""
Defines the tables of triggers: what is deployed now, the revisions before, and their firings.

All are bounded: triggers by a limit for each project and domain, revisions and firings by a number for
each trigger, and the scheduler deletes triggers that were deleted long ago, with all of these.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    Interval,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from controlplane.store.columns import at, metadata, text_column


def _content() -> "list[Column[object]]":
    """Return the columns that each revision keeps; enums are in core.triggers."""
    return [
        Column("revision", BigInteger, nullable=False),
        Column("action", SmallInteger, nullable=False),  # what made the revision
        Column("task_version", Text, nullable=False),
        Column("spec", LargeBinary, nullable=False),  # digest of the TriggerSpec in ``specs``
        Column("automation", LargeBinary, nullable=False),  # flyteidl2.task.TriggerAutomationSpec
        Column("automation_type", SmallInteger, nullable=False),
        Column("active", Boolean, nullable=False),
        Column("input_uri", Text, nullable=False),
        Column("description", Text, nullable=False),
        Column("origin", SmallInteger, nullable=False),
        Column("deployed_by", Text, nullable=False),
        Column("updated_by", Text, nullable=False),
        at("deployed_at"),
        at("updated_at"),
        at("triggered_at", nullable=True),
        at("deleted_at", nullable=True),
    ]


def _key() -> "list[Column[object]]":
    return [
        Column(name, Text, primary_key=True)
        for name in ("org", "project", "domain", "task_name", "name")
    ]


triggers = Table(
    "triggers",
    metadata,
    *_key(),
    *_content(),
    # The schedule: a cron expression in a zone, or an interval from an anchor.
    text_column("cron"),
    text_column("zone"),
    Column("every", Interval),
    at("anchor_at", nullable=True),
    Column("from_anchor", Boolean, nullable=False, server_default="false"),
    at("fire_at", nullable=True),  # the next scheduled instant
    at("wake_at", nullable=True),  # when the scheduler reads it: fire_at, or later to try again
    Column("late", Integer, nullable=False, server_default="0"),
    Column("skipped", BigInteger, nullable=False, server_default="0"),
    text_column("error"),  # why the last scheduled instant started no run
    at("error_at", nullable=True),
    Column("overlap", SmallInteger, nullable=False, server_default="0"),
    Column("firings", BigInteger, nullable=False, server_default="0"),  # number of the last one
    # Versions of an artifact that it fires for; "": none.
    text_column("artifact"),
    text_column("artifact_version"),
    Column("artifact_partitions", JSONB, nullable=False, server_default="{}"),
    Index("triggers_due", "wake_at", postgresql_where=text("wake_at IS NOT NULL")),
    Index("triggers_due_of_org", "org", "wake_at", postgresql_where=text("wake_at IS NOT NULL")),
    Index("triggers_deleted", "deleted_at", postgresql_where=text("deleted_at IS NOT NULL")),
    Index(
        "triggers_of_artifact",
        *("org", "project", "domain", "artifact"),
        postgresql_where=text("artifact <> ''"),
    ),
    postgresql_with={"fillfactor": "70"},
)

trigger_revisions = Table(
    "trigger_revisions",
    metadata,
    *_key(),
    *(
        Column("revision", BigInteger, primary_key=True) if column.name == "revision" else column
        for column in _content()
    ),
)

trigger_firings = Table(
    "trigger_firings",
    metadata,
    *_key(),
    Column("number", BigInteger, primary_key=True),
    Column("outcome", SmallInteger, nullable=False),  # core.firings
    Column("reason", Text, nullable=False),
    text_column("message"),
    at("instant"),
    at("last_instant"),
    Column("instants", BigInteger, nullable=False),
    at("decided_at"),
    text_column("run"),
    text_column("decided_by"),
)

# Versions for which triggers are to start runs. A row is deleted with the creation of its run.
artifact_firings = Table(
    "artifact_firings",
    metadata,
    *_key(),
    Column("artifact", Text, primary_key=True),
    Column("version", Text, primary_key=True),
    Column("tries", Integer, nullable=False, server_default="0"),
    at("created_at"),
    at("due_at"),
    Index("artifact_firings_due", "due_at"),
)
