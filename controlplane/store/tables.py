"""
Defines the schema; the modules ``*_tables`` each have the tables of one subject.

``org`` leads every key of tenant data, and row-level security (``migrations``) restricts each of
these tables to the transaction's org.

A run is the action without a parent; ``runs`` has the settings that all its actions share, and
the counter that numbers its changes.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Float,
    ForeignKey,
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
    artifact_tables,
    cache_tables,
    columns,
    credential_tables,
    dispatch_tables,
    identity_tables,
    login_tables,
    notification_tables,
    restore_tables,
    schema_tables,
    scope_tables,
    trigger_tables,
    usage_tables,
)
from controlplane.store.columns import at as _at, text_column as _text
from shared.model.phases import TERMINAL

metadata = columns.metadata
_OTHER_MODULES = (
    agent_tables,
    artifact_tables,
    cache_tables,
    credential_tables,
    dispatch_tables,
    identity_tables,
    login_tables,
    notification_tables,
    restore_tables,
    schema_tables,
    scope_tables,
    trigger_tables,
    usage_tables,
)  # imported, so that the metadata has their tables

LIVE = f"phase NOT IN ({', '.join(str(phase.value) for phase in sorted(TERMINAL))})"
"""SQL for "has not ended", from the phase table."""


orgs = Table(
    "orgs",
    metadata,
    Column("org", Text, primary_key=True),
    _at("created_at"),
    _text("name"),  # for display
    _text("created_by"),
    Column("version", BigInteger, nullable=False, server_default="1"),
    Column("requires_own_provider", Boolean, nullable=False, server_default="false"),
    # The highest epoch of a cluster of the org that was deleted; new ones begin there.
    Column("deleted_cluster_epoch", BigInteger, nullable=False, server_default="0"),
    # Deleted orgs (core.deleted_orgs). The row stays: the name is not given again.
    _at("deleted_at", nullable=True),
    _text("deleted_by"),
    _at("agents_until", nullable=True),  # its agents are refused from then on
    _at("erase_at", nullable=True),  # it can be restored until then
    _at("erasing_since", nullable=True),
    _at("erased_at", nullable=True),
    Index("orgs_deleted", "org", postgresql_where=text("deleted_at IS NOT NULL")),
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
    # Its attempts on a disconnected cluster may be leased elsewhere, once stopped; others never.
    Column("replaceable", Boolean, nullable=False, server_default="false"),
    # Outputs of its attempts may declare artifacts.
    Column("produces_artifacts", Boolean, nullable=False, server_default="false"),
    # What an attempt requests, for its usage.
    Column("cpu_millis", Integer, nullable=False, server_default="0"),
    Column("memory_bytes", BigInteger, nullable=False, server_default="0"),
    Column("accelerators", Integer, nullable=False, server_default="0"),
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
    # The request's own RunSpec, where settings of its scope changed it; to know a repeated one.
    Column("requested_spec", LargeBinary),
    Column("cache_overwrite", Boolean, nullable=False, server_default="false"),
    # Where else it finds cached results (core.caching.readable_scopes); NULL: in the whole org.
    Column("cache_scopes", JSONB, server_default="[]"),
    Column("relation", SmallInteger, nullable=False, server_default="0"),
    Column("related_to", Text),  # name of the run of its project and domain that relation names
    Column("recovers", Uuid),  # the run whose succeeded actions it takes over
    Column("inputs_of", Uuid),  # the run whose data its inputs are
    Column("forced", JSONB, nullable=False, server_default="[]"),  # names of those it runs again
    # The trigger that started it, as it was then; "" and NULL of other runs.
    _text("trigger_task"),
    _text("trigger_name"),
    Column("trigger_revision", BigInteger, nullable=False, server_default="0"),
    Column("trigger_automation", LargeBinary),
    _text("root_task"),  # name of its root's task
    _at("purging_since", nullable=True),  # set: its data is being deleted, and it takes no holds
    _at("archived_at", nullable=True),
    # ``held_by``: set, a person holds it.
    *(Column(name, Text) for name in ("archived_by", "held_by", "hold_reason")),
    Index(None, "org", "project", "domain", "run", unique=True),
    Index(None, "org", "project", "domain", text("created_at DESC"), "run_id"),
    Index(
        *("runs_spawned", "org", "spawned_by", "run_id"),
        postgresql_where=text("spawned_by IS NOT NULL"),
    ),
    Index(
        *("runs_related", "org", "project", "domain", "related_to", "run_id"),
        postgresql_where=text("related_to IS NOT NULL"),
    ),
    Index(
        "runs_triggered",
        "org",
        "project",
        "domain",
        "trigger_task",
        "trigger_name",
        text("created_at DESC"),
        "run_id",
        postgresql_where=text("trigger_name <> ''"),
    ),
    Index(
        "runs_of_task",
        *("org", "project", "domain", "root_task", text("created_at DESC"), "run_id"),
        postgresql_where=text("root_task <> '' AND source <> 4"),
    ),
    *(
        Index(
            name,
            *("org", "project", "domain", text("created_at DESC"), "run_id"),
            postgresql_where=text(f"source {condition}"),  # RunSource.TRACKED is 4
        )
        for name, condition in (("runs_tracked", "= 4"), ("runs_untracked", "<> 4"))
    ),
    *(
        Index(name, "org", held, "run_id", postgresql_where=text(f"{held} IS NOT NULL"))
        for name, held in (("runs_recovering", "recovers"), ("runs_with_inputs", "inputs_of"))
    ),
    Index("runs_purging", "org", "run_id", postgresql_where=text("purging_since IS NOT NULL")),
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
    *columns.failure(),
    _text("abort_reason"),
    _text("aborted_by"),
    Column("condition_type", LargeBinary),  # flyteidl2.core.LiteralType
    Column("value", LargeBinary),  # flyteidl2.core.Literal
    _text("signalled_by"),
    Column("cache_status", SmallInteger, nullable=False, server_default="0"),
    Column("cached_from", JSONB),  # [project, domain, run, action, attempt] of its outputs
    Column("cached_run", Text),  # project/domain/run of that
    _text("recovered_from"),  # name of the run that executed it
    # A bit for each phase that is to be reported: a trigger then inserts into phase_events.
    Column("notify", SmallInteger, nullable=False, server_default="0"),
    # Of equal actions that ask for it, one runs at a time (cache_reservations).
    Column("cache_serialized", Boolean, nullable=False, server_default="false"),
    Index(None, "org", "run_id", "name", unique=True),
    Index(None, "org", "run_id", "change"),
    Index(None, "org", "parent_id", "name"),
    Index(
        "actions_failed",
        *("org", "run_id", "ended_at"),
        postgresql_where=text("error_code IS NOT NULL"),
    ),
    Index(
        "actions_cached",
        *("org", "cached_run", "run_id"),
        postgresql_where=text("cached_run IS NOT NULL"),
    ),
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
    Column(
        "epoch", BigInteger, nullable=False, server_default="0"
    ),  # of the session with the lease
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
    *columns.failure(),
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

FLEET_TABLES = tuple(table for table in metadata.sorted_tables if "fleet_only" in table.info)
TENANT_TABLES = tuple(
    table for table in metadata.sorted_tables if "org" in table.c and table not in FLEET_TABLES
)
