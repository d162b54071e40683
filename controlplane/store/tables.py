"""
Defines the schema; ``identity_tables``, ``credential_tables`` and ``login_tables`` have those of
people and logins, ``agent_tables`` those of agents' identity.

``org`` leads every key of tenant data, and row-level security (``migrations``) restricts each of
these tables to the transaction's org.

A run is the action without a parent; ``runs`` has the settings that all its actions share, and
the counter that numbers its changes. ``dispatches`` is the only table that is searched for
work: small, hot, one row for each action that is waiting or leased.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Float,
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

from controlplane.store import (
    agent_tables,
    columns,
    credential_tables,
    identity_tables,
    login_tables,
)
from controlplane.store.columns import at as _at, text_column as _text
from shared.model.phases import TERMINAL

metadata = columns.metadata
_OTHER_MODULES = (
    agent_tables,
    credential_tables,
    identity_tables,
    login_tables,
)  # imported, so that the metadata has their tables

LIVE = f"phase NOT IN ({', '.join(str(phase.value) for phase in sorted(TERMINAL))})"
"""SQL for "has not ended", from the phase table."""


def _failure() -> "list[Column[object]]":
    """Return the columns of a Failure; all of them are NULL, or none is."""
    return [
        Column("error_code", Text),
        Column("error_kind", SmallInteger),
        Column("error_message", Text),
        Column("error_recoverable", Boolean),
        Column("error_uri", Text),
    ]


orgs = Table(
    "orgs",
    metadata,
    Column("org", Text, primary_key=True),
    _at("created_at"),
    _text("name"),  # for display
    _text("created_by"),
    Column("version", BigInteger, nullable=False, server_default="1"),
)

projects = Table(
    "projects",
    metadata,
    Column("org", Text, ForeignKey("orgs.org"), primary_key=True),
    Column("project", Text, primary_key=True),
    _text("name"),
    _text("description"),
    Column("labels", JSONB, nullable=False, server_default="{}"),
    Column("state", SmallInteger, nullable=False, server_default="0"),
    _at("created_at"),
    _at("updated_at"),
)

# Content-addressed TaskSpecs, RunSpecs, TraceSpecs and ConditionActions, stored once.
specs = Table(
    "specs",
    metadata,
    Column("org", Text, primary_key=True),
    Column("digest", LargeBinary, primary_key=True),
    Column("kind", SmallInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),
    # The retry and timeout policy, parsed from a TaskSpec when it was stored.
    Column("retries", Integer, nullable=False, server_default="0"),
    Column("backoff_base", Interval, nullable=False, server_default="0"),
    Column("backoff_factor", Float, nullable=False, server_default="1"),
    Column("backoff_cap", Interval, nullable=False, server_default="0"),
    Column("max_runtime", Interval, nullable=False, server_default="0"),
    Column("queued_timeout", Interval, nullable=False, server_default="0"),
    Column("deadline", Interval, nullable=False, server_default="0"),
    # Its attempts on a disconnected cluster may be leased elsewhere, once that cluster has
    # had time to stop them; otherwise they keep their lease, however long.
    Column("replaceable", Boolean, nullable=False, server_default="false"),
    _at("created_at"),
)

tasks = Table(
    "tasks",
    metadata,
    Column("org", Text, primary_key=True),
    Column("project", Text, primary_key=True),
    Column("domain", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("version", Text, primary_key=True),
    Column("spec", LargeBinary, nullable=False),
    _text("task_type"),
    _text("short_name"),
    _text("environment"),
    _text("function"),
    _text("description"),
    Column("is_entrypoint", Boolean, nullable=False, server_default="false"),
    _text("deployed_by"),
    _at("deployed_at"),
    Index(None, "org", "project", "domain", text("deployed_at DESC"), "name", "version"),
)

runs = Table(
    "runs",
    metadata,
    Column("org", Text, primary_key=True),
    Column("run_id", Uuid, primary_key=True),
    Column("project", Text, nullable=False),
    Column("domain", Text, nullable=False),
    Column("run", Text, nullable=False),
    # Numbers the changes of the run's actions. Changing one takes this row's lock, so that
    # numbers become visible in order and a reader that has seen N has missed nothing up to N.
    Column("change", BigInteger, nullable=False),
    Column("run_spec", LargeBinary, nullable=False),
    Column("run_base", Text, nullable=False),
    _text("raw_data_base"),
    Column("labels", JSONB, nullable=False, server_default="{}"),
    Column("source", SmallInteger, nullable=False, server_default="0"),
    _text("queue"),
    Column("max_action_concurrency", Integer, nullable=False, server_default="0"),
    _text("created_by"),
    _at("created_at"),
    _at("started_at"),
    Column("spawned_by", Uuid),  # the run whose task started it
    Index(None, "org", "project", "domain", "run", unique=True),
    Index(None, "org", "project", "domain", text("created_at DESC"), "run_id"),
    Index(
        "runs_spawned",
        "org",
        "spawned_by",
        "run_id",
        postgresql_where=text("spawned_by IS NOT NULL"),
    ),
    postgresql_with={"fillfactor": "60"},
)

actions = Table(
    "actions",
    metadata,
    Column("org", Text, primary_key=True),
    Column("id", Uuid, primary_key=True),
    Column("run_id", Uuid, nullable=False),
    Column("name", Text, nullable=False),
    Column("parent", Text),
    Column("parent_id", Uuid),
    Column("type", SmallInteger, nullable=False),
    Column("spec", LargeBinary, nullable=False),
    Column("input_uri", Text, nullable=False),
    _text("group_name"),
    _text("cache_key"),
    _text("task_name"),
    _text("task_version"),
    _text("task_type"),
    _text("short_name"),
    _text("environment"),
    _text("function"),
    Column("phase", SmallInteger, nullable=False),
    Column("attempts", Integer, nullable=False, server_default="1"),
    Column("change", BigInteger, nullable=False),
    _at("created_at"),
    _at("updated_at"),
    _at("started_at", nullable=True),
    _at("ended_at", nullable=True),
    _at("due_at", nullable=True),  # when it times out (core.timeouts)
    _text("output_uri"),
    _text("report_uri"),
    *_failure(),
    _text("abort_reason"),
    _text("aborted_by"),
    Column("condition_type", LargeBinary),  # flyteidl2.core.LiteralType
    Column("value", LargeBinary),  # flyteidl2.core.Literal
    _text("signalled_by"),
    Index(None, "org", "run_id", "name", unique=True),
    Index(None, "org", "run_id", "change"),
    Index(None, "org", "parent_id", "name"),
    Index("actions_due", "due_at", postgresql_where=text(f"due_at IS NOT NULL AND {LIVE}")),
    postgresql_with={"fillfactor": "80"},
)

attempts = Table(
    "attempts",
    metadata,
    Column("org", Text, primary_key=True),
    Column("action_id", Uuid, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("lease_id", Uuid, nullable=False),
    Column("cluster", Text, nullable=False),
    Column("phase", SmallInteger, nullable=False),
    Column("version", Integer, nullable=False, server_default="0"),  # of the last report applied
    # Its queue and pool and since when it waited, to explain how long it took.
    _text("queue"),
    _text("pool"),
    _at("available_at"),
    _at("leased_at"),
    _at("accepted_at", nullable=True),
    _at("started_at", nullable=True),
    _at("ended_at", nullable=True),
    _text("reason"),
    _text("message"),
    *_failure(),
    _text("output_uri"),
    _text("report_uri"),
    _text("log_uri"),
    Column("log_links", JSONB, nullable=False, server_default="[]"),
    postgresql_with={"fillfactor": "80"},
)

# Append-only, partitioned by day of ``at``; old days are dropped whole.
action_events = Table(
    "action_events",
    metadata,
    Column("org", Text, primary_key=True),
    Column("action_id", Uuid, primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("at", DateTime(timezone=True), primary_key=True),
    Column("phase", SmallInteger, nullable=False),
    _text("reason"),
    _text("message"),
    Column("events", JSONB, nullable=False, server_default="[]"),
    postgresql_partition_by="RANGE (at)",
)

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

# Ended actions that may have live descendants, which the cascade loop ends.
cascades = Table(
    "cascades",
    metadata,
    Column("org", Text, primary_key=True),
    Column("run_id", Uuid, primary_key=True),
    Column("action_id", Uuid, primary_key=True),
    _text("past"),  # its children up to this name have been ended
    _text("reason"),  # abort_reason and aborted_by of the descendants
    _text("aborted_by"),
    _at("created_at"),
    postgresql_with={"fillfactor": "70"},
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
    _at("created_at"),
)

# Values as envelopes; project and domain are "" in wider scopes.
secrets = Table(
    "secrets",
    metadata,
    Column("org", Text, ForeignKey("orgs.org"), primary_key=True),
    Column("project", Text, primary_key=True),
    Column("domain", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("type", SmallInteger, nullable=False),  # core.secrets.SecretType
    Column("envelope", LargeBinary, nullable=False),
    Column("keyring", Text, nullable=False),  # name of the key that opens it, or "clusters"
    Column("recipients", JSONB, nullable=False, server_default="[]"),  # names of clusters' keys
    Column("version", BigInteger, nullable=False, server_default="1"),
    _text("created_by"),
    _at("created_at"),
    _at("updated_at"),
    Index("secrets_image_pull", "org", postgresql_where=text("type = 1")),
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

# Calls forwarded to the replica that has the agent's stream, and their replies. Unlogged: if
# Postgres crashes, callers retry.
relays = Table(
    "relays",
    metadata,
    Column("org", Text, primary_key=True),
    Column("relay_id", Uuid, primary_key=True),
    Column("cluster", Text, nullable=False),
    Column("wish", LargeBinary, nullable=False),  # volary.agent.v1.Call
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

# The history of pending reasons (each from began_at to ended_at); kept as long as events are.
# Scopes are in core.pending_reasons.
pending_reasons = Table(
    "obstacles",
    metadata,
    Column("org", Text, ForeignKey("orgs.org"), primary_key=True),
    Column("scope", SmallInteger, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("began_at", DateTime(timezone=True), primary_key=True),
    _at("ended_at", nullable=True),  # NULL: it still holds
    _text("reason"),
    _text("message"),
    Index(
        "obstacles_there",
        "org",
        "scope",
        "name",
        unique=True,
        postgresql_where=text("ended_at IS NULL"),
    ),
    Index(None, "ended_at"),
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

FLEET_TABLES = tuple(table for table in metadata.sorted_tables if "fleet_only" in table.info)
TENANT_TABLES = tuple(
    table for table in metadata.sorted_tables if "org" in table.c and table not in FLEET_TABLES
)
