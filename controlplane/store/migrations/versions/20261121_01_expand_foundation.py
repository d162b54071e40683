"""
Creates the tables of tenants, tasks, runs, actions, attempts, events, dispatches, clusters.

Also creates the application's role, row-level security on every tenant table, and
the two functions with which the application, which owns nothing, adds and drops days of
``action_events``.

This revision runs while the previous release still serves: add; do not change or remove what
that release uses. Indexes on large tables: concurrently, in an autocommit block.

Revision: 0001, after None.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_ROLE = (
    # Roles belong to the server, not to the database: another database's migration may have
    # created it, or an administrator, where the migrating user may not.
    """
    DO $$ BEGIN
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'volary_app') THEN
            CREATE ROLE volary_app NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS;
        END IF;
    EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
    END $$
    """,
    # The migrating user may also serve: its connections then take the role (store.database).
    """
    DO $$ BEGIN
        IF NOT pg_has_role(current_user, 'volary_app', 'USAGE') THEN
            EXECUTE format('GRANT volary_app TO %I', current_user);
        END IF;
    END $$
    """,
    "GRANT USAGE ON SCHEMA public TO volary_app",
    "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO volary_app",
    "REVOKE ALL ON alembic_version FROM volary_app",
    "GRANT SELECT ON alembic_version TO volary_app",
    "INSERT INTO control_clock (ticked_at) VALUES (clock_timestamp())",
    "REVOKE INSERT, DELETE ON control_clock FROM volary_app",
)

_PARTITIONS = (
    # Partitions are granted to no role: row-level security applies to the parent table.
    # The default partition takes events older than every day's partition: reports of agents that
    # were disconnected for long.
    "CREATE TABLE action_events_other PARTITION OF action_events DEFAULT",
    """
    CREATE FUNCTION add_action_events_days(first date, days integer) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
    DECLARE
        day date;
        added integer := 0;
    BEGIN
        FOR i IN 0 .. days - 1 LOOP
            day := first + i;
            IF to_regclass('public.action_events_' || to_char(day, 'YYYYMMDD')) IS NULL THEN
                BEGIN
                    EXECUTE format(
                        'CREATE TABLE public.%I PARTITION OF public.action_events'
                        ' FOR VALUES FROM (%L) TO (%L)',
                        'action_events_' || to_char(day, 'YYYYMMDD'),
                        day::timestamp AT TIME ZONE 'UTC',
                        (day + 1)::timestamp AT TIME ZONE 'UTC'
                    );
                    added := added + 1;
                EXCEPTION
                    -- Another replica made it, or the default holds rows of that day already.
                    WHEN duplicate_table OR check_violation THEN NULL;
                END;
            END IF;
        END LOOP;
        RETURN added;
    END $$
    """,
    """
    CREATE FUNCTION drop_action_events_before(first date) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
    DECLARE
        old record;
        dropped integer := 0;
    BEGIN
        FOR old IN
            SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
            WHERE i.inhparent = 'public.action_events'::regclass
              AND c.relname ~ '^action_events_[0-9]{8}$'
              AND to_date(right(c.relname, 8), 'YYYYMMDD') < first
        LOOP
            EXECUTE format('DROP TABLE IF EXISTS public.%I', old.relname);
            dropped := dropped + 1;
        END LOOP;
        DELETE FROM public.action_events_other WHERE at < first::timestamp AT TIME ZONE 'UTC';
        RETURN dropped;
    END $$
    """,
    "REVOKE ALL ON FUNCTION add_action_events_days, drop_action_events_before FROM PUBLIC",
    "GRANT EXECUTE ON FUNCTION add_action_events_days, drop_action_events_before TO volary_app",
)

_TENANT_TABLES = (
    "action_events",
    "actions",
    "attempts",
    "clusters",
    "dispatches",
    "obstacles",
    "orgs",
    "projects",
    "queues",
    "relay_replies",
    "relays",
    "runs",
    "specs",
    "tasks",
)

_SECURITY = tuple(
    statement
    for table in _TENANT_TABLES
    for statement in (
        f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY",
        f"""
        CREATE POLICY {table}_of_org ON {table} TO volary_app
            USING (org = current_setting('app.org', true)
                   OR current_setting('app.fleet', true) = 'on')
        """,
    )
)


def upgrade() -> None:
    op.create_table(
        "action_events",
        sa.Column("org", sa.Text(), nullable=False),
        sa.Column("action_id", sa.Uuid(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("phase", sa.SmallInteger(), nullable=False),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column("message", sa.Text(), server_default="", nullable=False),
        sa.Column(
            "events", postgresql.JSONB(astext_type=sa.Text()), server_default="[]", nullable=False
        ),
        sa.PrimaryKeyConstraint(
            "org", "action_id", "attempt", "version", "at", name=op.f("action_events_pkey")
        ),
        postgresql_partition_by="RANGE (at)",
    )
    op.create_table(
        "actions",
        sa.Column("org", sa.Text(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("parent", sa.Text(), nullable=True),
        sa.Column("parent_id", sa.Uuid(), nullable=True),
        sa.Column("type", sa.SmallInteger(), nullable=False),
        sa.Column("spec", sa.LargeBinary(), nullable=False),
        sa.Column("input_uri", sa.Text(), nullable=False),
        sa.Column("group_name", sa.Text(), server_default="", nullable=False),
        sa.Column("cache_key", sa.Text(), server_default="", nullable=False),
        sa.Column("task_name", sa.Text(), server_default="", nullable=False),
        sa.Column("task_version", sa.Text(), server_default="", nullable=False),
        sa.Column("task_type", sa.Text(), server_default="", nullable=False),
        sa.Column("short_name", sa.Text(), server_default="", nullable=False),
        sa.Column("environment", sa.Text(), server_default="", nullable=False),
        sa.Column("function", sa.Text(), server_default="", nullable=False),
        sa.Column("phase", sa.SmallInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="1", nullable=False),
        sa.Column("change", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("output_uri", sa.Text(), server_default="", nullable=False),
        sa.Column("report_uri", sa.Text(), server_default="", nullable=False),
        sa.Column("error_code", sa.Text(), nullable=True),
        sa.Column("error_kind", sa.SmallInteger(), nullable=True),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.Column("error_recoverable", sa.Boolean(), nullable=True),
        sa.Column("error_uri", sa.Text(), nullable=True),
        sa.Column("abort_reason", sa.Text(), server_default="", nullable=False),
        sa.Column("aborted_by", sa.Text(), server_default="", nullable=False),
        sa.Column("condition_type", sa.LargeBinary(), nullable=True),
        sa.Column("value", sa.LargeBinary(), nullable=True),
        sa.Column("signalled_by", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("org", "id", name=op.f("actions_pkey")),
        postgresql_with={"fillfactor": "80"},
    )
    op.create_index(
        "actions_due",
        "actions",
        ["due_at"],
        unique=False,
        postgresql_where=sa.text("due_at IS NOT NULL AND phase NOT IN (5, 6, 7, 8, 10)"),
    )
    op.create_index(
        op.f("actions_org_parent_id_name"), "actions", ["org", "parent_id", "name"], unique=False
    )
    op.create_index(
        op.f("actions_org_run_id_change"), "actions", ["org", "run_id", "change"], unique=False
    )
    op.create_index(
        op.f("actions_org_run_id_name"), "actions", ["org", "run_id", "name"], unique=True
    )
    op.create_table(
        "attempts",
        sa.Column("org", sa.Text(), nullable=False),
        sa.Column("action_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("lease_id", sa.Uuid(), nullable=False),
        sa.Column("cluster", sa.Text(), nullable=False),
        sa.Column("phase", sa.SmallInteger(), nullable=False),
        sa.Column("version", sa.Integer(), server_default="0", nullable=False),
        sa.Column("queue", sa.Text(), server_default="", nullable=False),
        sa.Column("pool", sa.Text(), server_default="", nullable=False),
        sa.Column("available_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("leased_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("accepted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column("message", sa.Text(), server_default="", nullable=False),
        sa.Column("error_code", sa.Text(), nullable=True),
        sa.Column("error_kind", sa.SmallInteger(), nullable=True),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.Column("error_recoverable", sa.Boolean(), nullable=True),
        sa.Column("error_uri", sa.Text(), nullable=True),
        sa.Column("output_uri", sa.Text(), server_default="", nullable=False),
        sa.Column("report_uri", sa.Text(), server_default="", nullable=False),
        sa.Column("log_uri", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("org", "action_id", "number", name=op.f("attempts_pkey")),
        postgresql_with={"fillfactor": "80"},
    )
    op.create_table(
        "control_clock",
        sa.Column("single", sa.Boolean(), server_default="true", nullable=False),
        sa.Column("served", sa.Interval(), server_default="0", nullable=False),
        sa.Column("ticked_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("single", name="control_clock_has_one_row"),
        sa.PrimaryKeyConstraint("single", name=op.f("control_clock_pkey")),
    )
    op.create_table(
        "dispatches",
        sa.Column("org", sa.Text(), nullable=False),
        sa.Column("action_id", sa.Uuid(), nullable=False),
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("is_root", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("queue", sa.Text(), server_default="", nullable=False),
        sa.Column("pool", sa.Text(), server_default="", nullable=False),
        sa.Column("urgency", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("limited", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("enqueued_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("available_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("user_failures", sa.Integer(), server_default="0", nullable=False),
        sa.Column("system_failures", sa.Integer(), server_default="0", nullable=False),
        sa.Column("preemptions", sa.Integer(), server_default="0", nullable=False),
        sa.Column("lease_id", sa.Uuid(), nullable=True),
        sa.Column("cluster", sa.Text(), nullable=True),
        sa.Column("leased_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("accepted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("stop_reason", sa.Text(), nullable=True),
        sa.Column("stop_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("missing_since", sa.Interval(), nullable=True),
        sa.PrimaryKeyConstraint("org", "action_id", name=op.f("dispatches_pkey")),
        postgresql_with={
            "fillfactor": "70",
            "autovacuum_vacuum_scale_factor": "0.02",
            "autovacuum_vacuum_threshold": "500",
        },
    )
    op.create_index(
        "dispatches_leased",
        "dispatches",
        ["org", "cluster"],
        unique=False,
        postgresql_where=sa.text("lease_id IS NOT NULL"),
    )
    op.create_index(
        "dispatches_leased_of_queue",
        "dispatches",
        ["org", "queue", "is_root"],
        unique=False,
        postgresql_where=sa.text("lease_id IS NOT NULL AND limited"),
    )
    op.create_index(
        "dispatches_leased_of_run",
        "dispatches",
        ["org", "run_id", "limited", "is_root"],
        unique=False,
        postgresql_where=sa.text("lease_id IS NOT NULL"),
    )
    op.create_index(
        "dispatches_missing",
        "dispatches",
        ["org", "cluster"],
        unique=False,
        postgresql_where=sa.text("missing_since IS NOT NULL"),
    )
    op.create_index(
        "dispatches_queued",
        "dispatches",
        ["org", "queue"],
        unique=False,
        postgresql_where=sa.text("lease_id IS NULL AND queue <> ''"),
    )
    op.create_index(
        "dispatches_stopping",
        "dispatches",
        ["org", "cluster"],
        unique=False,
        postgresql_where=sa.text("stop_reason IS NOT NULL"),
    )
    op.create_index(
        "dispatches_waiting",
        "dispatches",
        [
            *("org", "pool", "urgency", "limited", "queue", "is_root", "run_id"),
            *("available_at", "action_id"),
        ],
        unique=False,
        postgresql_where=sa.text("lease_id IS NULL"),
    )
    op.create_table(
        "orgs",
        sa.Column("org", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("org", name=op.f("orgs_pkey")),
    )
    op.create_table(
        "runs",
        sa.Column("org", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("domain", sa.Text(), nullable=False),
        sa.Column("run", sa.Text(), nullable=False),
        sa.Column("change", sa.BigInteger(), nullable=False),
        sa.Column("run_spec", sa.LargeBinary(), nullable=False),
        sa.Column("run_base", sa.Text(), nullable=False),
        sa.Column("raw_data_base", sa.Text(), server_default="", nullable=False),
        sa.Column(
            "labels", postgresql.JSONB(astext_type=sa.Text()), server_default="{}", nullable=False
        ),
        sa.Column("source", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("queue", sa.Text(), server_default="", nullable=False),
        sa.Column("max_action_concurrency", sa.Integer(), server_default="0", nullable=False),
        sa.Column("created_by", sa.Text(), server_default="", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("org", "run_id", name=op.f("runs_pkey")),
        postgresql_with={"fillfactor": "60"},
    )
    op.create_index(
        op.f("runs_org_project_domain_run"),
        "runs",
        ["org", "project", "domain", "run"],
        unique=True,
    )
    op.create_index(
        op.f("runs_org_project_domain_run_id"),
        "runs",
        ["org", "project", "domain", sa.literal_column("created_at DESC"), "run_id"],
        unique=False,
    )
    op.create_table(
        "specs",
        sa.Column("org", sa.Text(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("kind", sa.SmallInteger(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("retries", sa.Integer(), server_default="0", nullable=False),
        sa.Column("backoff_base", sa.Interval(), server_default="0", nullable=False),
        sa.Column("backoff_factor", sa.Float(), server_default="1", nullable=False),
        sa.Column("backoff_cap", sa.Interval(), server_default="0", nullable=False),
        sa.Column("max_runtime", sa.Interval(), server_default="0", nullable=False),
        sa.Column("queued_timeout", sa.Interval(), server_default="0", nullable=False),
        sa.Column("deadline", sa.Interval(), server_default="0", nullable=False),
        sa.Column("replaceable", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("org", "digest", name=op.f("specs_pkey")),
    )
    op.create_table(
        "tasks",
        sa.Column("org", sa.Text(), nullable=False),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("domain", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("spec", sa.LargeBinary(), nullable=False),
        sa.Column("task_type", sa.Text(), server_default="", nullable=False),
        sa.Column("short_name", sa.Text(), server_default="", nullable=False),
        sa.Column("environment", sa.Text(), server_default="", nullable=False),
        sa.Column("function", sa.Text(), server_default="", nullable=False),
        sa.Column("description", sa.Text(), server_default="", nullable=False),
        sa.Column("is_entrypoint", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("deployed_by", sa.Text(), server_default="", nullable=False),
        sa.Column("deployed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint(
            "org", "project", "domain", "name", "version", name=op.f("tasks_pkey")
        ),
    )
    op.create_index(
        op.f("tasks_org_project_domain_name_version"),
        "tasks",
        ["org", "project", "domain", sa.literal_column("deployed_at DESC"), "name", "version"],
        unique=False,
    )
    op.create_table(
        "clusters",
        sa.Column("org", sa.Text(), nullable=False),
        sa.Column("cluster", sa.Text(), nullable=False),
        sa.Column("token_digest", sa.LargeBinary(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("agent_id", sa.Text(), server_default="", nullable=False),
        sa.Column("instance_id", sa.Text(), server_default="", nullable=False),
        sa.Column("software", sa.Text(), server_default="", nullable=False),
        sa.Column("protocol", sa.Integer(), server_default="0", nullable=False),
        sa.Column(
            "capabilities",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default="[]",
            nullable=False,
        ),
        sa.Column("pool", sa.Text(), server_default="", nullable=False),
        sa.Column("cordoned", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("draining_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("wanted_version", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("connected", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("held", sa.Integer(), server_default="0", nullable=False),
        sa.Column("running", sa.Integer(), server_default="0", nullable=False),
        sa.Column("slots", sa.Integer(), server_default="0", nullable=False),
        sa.Column("counted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("connected_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("seen_served", sa.Interval(), server_default="0", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["org"], ["orgs.org"], name=op.f("clusters_org_fkey")),
        sa.PrimaryKeyConstraint("org", "cluster", name=op.f("clusters_pkey")),
        sa.UniqueConstraint("token_digest", name=op.f("clusters_token_digest_key")),
    )
    op.create_table(
        "obstacles",
        sa.Column("org", sa.Text(), nullable=False),
        sa.Column("scope", sa.SmallInteger(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("began_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column("message", sa.Text(), server_default="", nullable=False),
        sa.ForeignKeyConstraint(["org"], ["orgs.org"], name=op.f("obstacles_org_fkey")),
        sa.PrimaryKeyConstraint("org", "scope", "name", "began_at", name=op.f("obstacles_pkey")),
    )
    op.create_index(op.f("obstacles_ended_at"), "obstacles", ["ended_at"], unique=False)
    op.create_index(
        "obstacles_there",
        "obstacles",
        ["org", "scope", "name"],
        unique=True,
        postgresql_where=sa.text("ended_at IS NULL"),
    )
    op.create_table(
        "projects",
        sa.Column("org", sa.Text(), nullable=False),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), server_default="", nullable=False),
        sa.Column("description", sa.Text(), server_default="", nullable=False),
        sa.Column(
            "labels", postgresql.JSONB(astext_type=sa.Text()), server_default="{}", nullable=False
        ),
        sa.Column("state", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["org"], ["orgs.org"], name=op.f("projects_org_fkey")),
        sa.PrimaryKeyConstraint("org", "project", name=op.f("projects_pkey")),
    )
    op.create_table(
        "queues",
        sa.Column("org", sa.Text(), nullable=False),
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("pool", sa.Text(), server_default="", nullable=False),
        sa.Column("priority", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("depth", sa.Integer(), server_default="0", nullable=False),
        sa.Column("run_concurrency", sa.Integer(), server_default="0", nullable=False),
        sa.Column("action_concurrency", sa.Integer(), server_default="0", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["org"], ["orgs.org"], name=op.f("queues_org_fkey")),
        sa.PrimaryKeyConstraint("org", "queue", name=op.f("queues_pkey")),
    )
    op.create_table(
        "relays",
        sa.Column("org", sa.Text(), nullable=False),
        sa.Column("relay_id", sa.Uuid(), nullable=False),
        sa.Column("cluster", sa.Text(), nullable=False),
        sa.Column("wish", sa.LargeBinary(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=True),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("org", "relay_id", name=op.f("relays_pkey")),
        prefixes=["UNLOGGED"],
        postgresql_with={"fillfactor": "50"},
    )
    op.create_index(op.f("relays_org_cluster"), "relays", ["org", "cluster"], unique=False)
    op.create_table(
        "relay_replies",
        sa.Column("org", sa.Text(), nullable=False),
        sa.Column("relay_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["org", "relay_id"],
            ["relays.org", "relays.relay_id"],
            name=op.f("relay_replies_org_relay_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("org", "relay_id", "number", name=op.f("relay_replies_pkey")),
        prefixes=["UNLOGGED"],
    )
    # ### end Alembic commands ###
    for statement in (*_ROLE, *_PARTITIONS, *_SECURITY):
        op.execute(statement)
