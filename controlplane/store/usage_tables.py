"""Tables of usage and quotas: ended attempts, what was used each day, and what may be used."""

from sqlalchemy import (
    BigInteger,
    Column,
    Date,
    ForeignKey,
    Index,
    Integer,
    SmallInteger,
    Table,
    Text,
    Uuid,
)

from controlplane.store.columns import at as _at, metadata, text_column as _text

# Written with the end of an attempt, and deleted in the transaction that adds it to usage_days:
# so an attempt counts once. It names what a purge of its run deletes.
usage_entries = Table(
    "usage_entries",
    metadata,
    Column("org", Text, ForeignKey("orgs.org"), primary_key=True),
    Column("action_id", Uuid, primary_key=True),
    Column("attempt", Integer, primary_key=True),
    _text("project"),
    _text("domain"),
    _text("task"),
    _text("cluster"),
    _text("queue"),
    _at("began_at"),
    _at("ended_at"),
    Column("cpu_millis", Integer, nullable=False, server_default="0"),
    Column("memory_bytes", BigInteger, nullable=False, server_default="0"),
    Column("accelerators", Integer, nullable=False, server_default="0"),
    # A queue: its rows live for seconds.
    postgresql_with={
        "autovacuum_vacuum_scale_factor": "0.02",
        "autovacuum_vacuum_threshold": "500",
    },
)

# Of a UTC day; kept for 400 days (controlplane.core.usage).
usage_days = Table(
    "usage_days",
    metadata,
    Column("org", Text, ForeignKey("orgs.org"), primary_key=True),
    Column("day", Date, primary_key=True),
    Column("project", Text, primary_key=True),
    Column("domain", Text, primary_key=True),
    Column("task", Text, primary_key=True),
    Column("cluster", Text, primary_key=True),
    Column("queue", Text, primary_key=True),
    Column("attempts", BigInteger, nullable=False),
    Column("run_ms", BigInteger, nullable=False),
    Column("cpu_ms", BigInteger, nullable=False),
    Column("memory_mib_ms", BigInteger, nullable=False),
    Column("accelerator_ms", BigInteger, nullable=False),
    Index("usage_days_old", "day"),
)

# Zero is no limit. The project "" is the org.
quotas = Table(
    "quotas",
    metadata,
    Column("org", Text, ForeignKey("orgs.org"), primary_key=True),
    Column("project", Text, primary_key=True),
    Column("actions_per_day", BigInteger, nullable=False, server_default="0"),
    Column("triggers", Integer, nullable=False, server_default="0"),
    Column("requests_per_second", Integer, nullable=False, server_default="0"),
    _at("updated_at"),
    Column("version", BigInteger, nullable=False, server_default="1"),  # grows with each change
)

# Actions that clusters were to run, by UTC day: of each project, and of the org as project "". In shards, so
# that transactions of one org do not wait for each other; their sum counts. Kept for two days.
action_counts = Table(
    "action_counts",
    metadata,
    Column("org", Text, ForeignKey("orgs.org"), primary_key=True),
    Column("day", Date, primary_key=True),
    Column("project", Text, primary_key=True),
    Column("shard", SmallInteger, primary_key=True),
    Column("actions", BigInteger, nullable=False),
    Index("action_counts_old", "day"),
    # A row changes with each batch of actions: room for its versions in its page.
    postgresql_with={
        "fillfactor": "50",
        "autovacuum_vacuum_scale_factor": "0.02",
        "autovacuum_vacuum_threshold": "500",
    },
)
