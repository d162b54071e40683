"""
Tables of notifications: phases to report, the deliveries that report them, and the org's named
rules and delivery configurations.

``phase_events`` is a transactional outbox: a trigger on ``actions`` inserts the row in the
transaction that changes the phase, whichever statement does so. A loop turns each into
``deliveries``, which it sends outside of transactions.
"""

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from controlplane.store.columns import at as _at, metadata, text_column as _text

phase_events = Table(
    "phase_events",
    metadata,
    Column("org", Text, primary_key=True),
    Column("action_id", Uuid, primary_key=True),
    Column("phase", SmallInteger, primary_key=True),
    Column("run_id", Uuid, nullable=False),
    # The table is empty most of the time: vacuum it early.
    postgresql_with={"autovacuum_vacuum_scale_factor": "0", "autovacuum_vacuum_threshold": "1000"},
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("org", Text, primary_key=True),
    Column("delivery_id", Uuid, primary_key=True),
    _text("project"),  # of the run, also after it was deleted
    _text("domain"),
    Column("run_id", Uuid, nullable=False),
    Column("action_id", Uuid, nullable=False),
    Column("phase", SmallInteger, nullable=False),
    Column("rule", Integer, nullable=False),  # number in the run's rules; -1: a condition's webhook
    Column("channel", SmallInteger, nullable=False),  # core.notifications.Channel
    _text("config"),  # name of the delivery configuration; "": the rule has the content
    _text("target"),
    Column("state", SmallInteger, nullable=False, server_default="0"),
    Column("tries", Integer, nullable=False, server_default="0"),
    # When it may be tried. Claiming one moves this ahead, so that it is tried again if the
    # replica stops before it has recorded the result.
    _at("due_at"),
    Column("status", Integer, nullable=False, server_default="0"),
    _text("error"),
    _at("created_at"),
    _at("ended_at", nullable=True),
    UniqueConstraint("org", "action_id", "phase", "rule", "channel", "config"),
    Index(
        "deliveries_due",
        "org",
        "target",
        "due_at",
        "delivery_id",
        postgresql_where=text("state = 0"),
    ),
    Index("deliveries_by_state", "org", "state", "delivery_id"),
    Index("deliveries_by_project", "org", "project", "state", "delivery_id"),
    Index("deliveries_ended", "ended_at", postgresql_where=text("state <> 0")),
    postgresql_with={"fillfactor": "70"},
)

named_notifications = Table(
    "named_notifications",
    metadata,
    Column("org", Text, ForeignKey("orgs.org"), primary_key=True),
    Column("kind", SmallInteger, primary_key=True),  # core.named_notifications.NamedKind
    Column("name", Text, primary_key=True),
    Column("content", JSONB, nullable=False),  # core.named_notifications.render_content
    # A delivery configuration, sealed with the key that ``keyring`` names; empty for a rule.
    Column("envelope", LargeBinary, nullable=False, server_default=""),
    _text("keyring"),
    Column("version", BigInteger, nullable=False, server_default="1"),
    _text("created_by"),
    _at("created_at"),
)
