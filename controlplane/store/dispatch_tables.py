"""
Tables of dispatch: leases, clusters, queues, calls to agents, and the clock of leases.

``dispatches`` is the only table that is searched for work: small, hot, one row for each action that
is waiting or leased.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    Interval,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from controlplane.store.columns import at as _at, metadata, text_column as _text

dispatches = Table(
    "dispatches",
    metadata,
    Column("org", Text, primary_key=True),
    Column("action_id", Uuid, primary_key=True),
    Column("run_id", Uuid, nullable=False),
    Column("parent_id", Uuid),  # the action that enqueued it; NULL for a root
    Column("is_root", Boolean, nullable=False, server_default="false"),
    Column("attempt", Integer, nullable=False),
    _text("queue"),
    _text("pool"),  # clusters of this pool may lease it
    Column("priority", SmallInteger, nullable=False),  # larger goes first
    # The priority with the sign changed, which the previous release reads and writes. A trigger
    # keeps both the same until a revision of the next release drops this one.
    Column("urgency", SmallInteger, nullable=False, server_default="0"),
    # Its run or queue has a limit that must be counted before it is leased.
    Column("limited", Boolean, nullable=False, server_default="false"),
    _at("enqueued_at"),
    _at("available_at"),
    Column("user_failures", Integer, nullable=False, server_default="0"),
    Column("system_failures", Integer, nullable=False, server_default="0"),
    Column("preemptions", Integer, nullable=False, server_default="0"),
    # Set together while a cluster holds the attempt.
    Column("lease_id", Uuid),
    Column("cluster", Text),
    _at("leased_at", nullable=True),
    _at("accepted_at", nullable=True),
    Column("stop_reason", Text),  # set: the attempt is to be stopped
    _at("stop_at", nullable=True),  # since when
    # Since when (on the lease clock) its agent, having reported its inventory, does not know it.
    Column("missing_since", Interval),
    Index(
        "dispatches_by_priority",
        "org",
        "pool",
        text("priority DESC"),
        "limited",
        "queue",
        "is_root",
        "run_id",
        "available_at",
        "action_id",
        postgresql_where=text("lease_id IS NULL"),
    ),
    # The order of the previous release; goes with ``urgency``.
    Index(
        "dispatches_waiting",
        "org",
        "pool",
        "urgency",
        "limited",
        "queue",
        "is_root",
        "run_id",
        "available_at",
        "action_id",
        postgresql_where=text("lease_id IS NULL"),
    ),
    Index(
        "dispatches_queued",
        "org",
        "queue",
        postgresql_where=text("lease_id IS NULL AND queue <> ''"),
    ),
    Index("dispatches_leased", "org", "cluster", postgresql_where=text("lease_id IS NOT NULL")),
    # Read after every claim; a cluster has many leases, but few with a stop.
    Index(
        "dispatches_stopping",
        "org",
        "cluster",
        postgresql_where=text("stop_reason IS NOT NULL"),
    ),
    Index(
        "dispatches_missing",
        "org",
        "cluster",
        postgresql_where=text("missing_since IS NOT NULL"),
    ),
    Index(
        "dispatches_leased_of_run",
        "org",
        "run_id",
        "limited",
        "is_root",
        postgresql_where=text("lease_id IS NOT NULL"),
    ),
    Index(
        "dispatches_leased_of_queue",
        "org",
        "queue",
        "is_root",
        postgresql_where=text("lease_id IS NOT NULL AND limited"),
    ),
    # A parent's waiting and leased children (store.dispatch.concurrency).
    Index(
        "dispatches_children",
        "org",
        "parent_id",
        "lease_id",
        "queue",
        "available_at",
        postgresql_where=text("parent_id IS NOT NULL"),
    ),
    # The table turns over completely all the time: vacuum it early.
    postgresql_with={
        "fillfactor": "70",
        "autovacuum_vacuum_scale_factor": "0.02",
        "autovacuum_vacuum_threshold": "500",
    },
)

clusters = Table(
    "clusters",
    metadata,
    Column("org", Text, ForeignKey("orgs.org"), primary_key=True),
    Column("cluster", Text, primary_key=True),
    Column("token_digest", LargeBinary, nullable=False, unique=True),  # SHA-256
    # Fencing token: grows with every accepted agent session; writes of an older one are refused.
    Column("epoch", BigInteger, nullable=False, server_default="0"),
    _text("agent_id"),
    _text("instance_id"),
    _text("software"),
    Column("protocol", Integer, nullable=False, server_default="0"),
    Column("capabilities", JSONB, nullable=False, server_default="[]"),
    _text("pool"),
    Column("cordoned", Boolean, nullable=False, server_default="false"),
    _at("draining_since", nullable=True),
    Column("wanted_version", BigInteger, nullable=False, server_default="0"),
    Column("connected", Boolean, nullable=False, server_default="false"),
    Column("held", Integer, nullable=False, server_default="0"),  # by the agent's ledger
    Column("running", Integer, nullable=False, server_default="0"),  # by the agent's runtimes
    Column("slots", Integer, nullable=False, server_default="0"),  # credit last reported
    _at("counted_at", nullable=True),  # when its agent reported these; NULL: not in this session
    _at("connected_at", nullable=True),
    _at("seen_at", nullable=True),
    # Its last heartbeat on the lease clock, which stands still while no replica serves.
    Column("seen_served", Interval, nullable=False, server_default="0"),
    # Public key of its agent, to which secrets are sealed: a SubjectPublicKeyInfo.
    Column("secrets_key", LargeBinary, nullable=False, server_default=""),
    # When two agents with the same identity were last seen, and which; NULL: never.
    _at("cloned_at", nullable=True),
    _text("cloned"),
    _text("renew_serial"),  # the certificate that its agent has to renew now
    # Set by a restore: it leases no work, and its leases do not expire, until it is released.
    _at("restored_at", nullable=True),
    _at("reconciled_at", nullable=True),  # when its agent reported its inventory after that
    _at("created_at"),
)

# Routing and limits of work; zero is no limit. The queue "" exists without a row.
queues = Table(
    "queues",
    metadata,
    Column("org", Text, ForeignKey("orgs.org"), primary_key=True),
    Column("queue", Text, primary_key=True),
    _text("pool"),
    Column("priority", SmallInteger, nullable=False, server_default="0"),  # larger goes first
    Column("depth", Integer, nullable=False, server_default="0"),
    Column("run_concurrency", Integer, nullable=False, server_default="0"),
    Column("action_concurrency", Integer, nullable=False, server_default="0"),
    _at("created_at"),
    Column("version", BigInteger, nullable=False, server_default="1"),  # grows with each change
)

# Counts of each queue with work, once a minute, for a week; the queue need not exist any more.
queue_samples = Table(
    "queue_samples",
    metadata,
    Column("org", Text, ForeignKey("orgs.org"), primary_key=True),
    Column("queue", Text, primary_key=True),
    Column("at", DateTime(timezone=True), primary_key=True),
    Column("waiting", Integer, nullable=False),
    Column("assigned", Integer, nullable=False),
    Column("waited", Interval, nullable=False),  # of the action that waits longest
    Index(None, "at"),
)

# Calls forwarded to the replica that has the agent's stream, and their replies. Unlogged: if
# Postgres crashes, callers retry.
relays = Table(
    "relays",
    metadata,
    Column("org", Text, primary_key=True),
    Column("relay_id", Uuid, primary_key=True),
    Column("cluster", Text, nullable=False),
    # The same volary.agent.v1.Call twice: the release before writes and reads the first only.
    Column("wish", LargeBinary, nullable=False),
    Column("request", LargeBinary),
    Column("epoch", BigInteger),  # of the session that answers
    _at("asked_at"),
    _at("seen_at"),  # when the caller last renewed it
    Index(None, "org", "cluster"),
    prefixes=["UNLOGGED"],
    postgresql_with={"fillfactor": "50"},
)

relay_replies = Table(
    "relay_replies",
    metadata,
    Column("org", Text, primary_key=True),
    Column("relay_id", Uuid, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("body", LargeBinary, nullable=False),  # volary.agent.v1.Reply
    ForeignKeyConstraint(
        ["org", "relay_id"], ["relays.org", "relays.relay_id"], ondelete="CASCADE"
    ),
    prefixes=["UNLOGGED"],
)

# One row: the lease clock, for how long the control plane has served. Leases expire by this
# clock, so that an outage of the control plane expires none.
control_clock = Table(
    "control_clock",
    metadata,
    Column("single", Boolean, primary_key=True, server_default="true"),
    Column("served", Interval, nullable=False, server_default="0"),
    _at("ticked_at"),
    CheckConstraint("single", name="control_clock_has_one_row"),
)
