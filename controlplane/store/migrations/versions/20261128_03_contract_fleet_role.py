"""
Adds the role for transactions across orgs; replaces a setting that any statement could change.

``volary_fleet`` sees the rows of every org by policies of its own. Those of ``volary_app``
compare the org and nothing else. ``IS TRUE`` keeps them a filter: as a condition of an index
"this org" looks selective whenever statistics are older than the rows, and statements that
name rows by their whole key read all rows of the org instead.

A replica of the previous release, which still uses the setting, sees no org in its transactions
across orgs from now on: agents that connect to it are refused until it is replaced.

Revision: 0005, after 0004.
"""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None
requires = "0005"

_TENANT_TABLES = (
    "action_events",
    "actions",
    "attempts",
    "cascades",
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

_ROLE = (
    """
    DO $$ BEGIN
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'volary_fleet') THEN
            CREATE ROLE volary_fleet NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS;
        END IF;
    EXCEPTION
        WHEN duplicate_object OR unique_violation THEN NULL;
        WHEN insufficient_privilege THEN
            RAISE EXCEPTION 'role volary_fleet does not exist, and % may not create it; have an '
                'administrator run: CREATE ROLE volary_fleet; then migrate again', current_user;
    END $$
    """,
    # Users who may take the application's role may take the fleet's, but not by inheritance, and
    # never through the application's role itself: its members would be members of the fleet's.
    # Where the migrating user may not grant it, the control plane reports the missing grant at
    # start-up.
    """
    DO $$ DECLARE
        login name;
        options text := CASE WHEN current_setting('server_version_num')::integer >= 160000
                             THEN ' WITH INHERIT FALSE' ELSE '' END;
    BEGIN
        FOR login IN
            SELECT current_user
            UNION SELECT pg_get_userbyid(member) FROM pg_auth_members
                  WHERE roleid = 'volary_app'::regrole AND member <> 'volary_fleet'::regrole
        LOOP
            IF NOT pg_has_role(login, 'volary_fleet', 'MEMBER') THEN
                EXECUTE format('GRANT volary_fleet TO %I', login) || options;
            END IF;
        END LOOP;
    EXCEPTION WHEN insufficient_privilege THEN NULL;
    END $$
    """,
    "GRANT USAGE ON SCHEMA public TO volary_fleet",
    "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO volary_fleet",
    "REVOKE ALL ON alembic_version FROM volary_fleet",
    "GRANT SELECT ON alembic_version TO volary_fleet",
    "REVOKE INSERT, DELETE ON control_clock FROM volary_fleet",
    "GRANT EXECUTE ON FUNCTION add_action_events_days, drop_action_events_before TO volary_fleet",
    # Partitions are granted to no role: row-level security applies to the parent table.
    """
    DO $$ DECLARE
        partition regclass;
    BEGIN
        FOR partition IN
            SELECT inhrelid FROM pg_inherits WHERE inhparent = 'public.action_events'::regclass
        LOOP
            EXECUTE format('REVOKE ALL ON %s FROM volary_fleet', partition);
        END LOOP;
    END $$
    """,
)


def upgrade() -> None:
    for statement in _ROLE:
        op.execute(statement)
    for table in _TENANT_TABLES:
        op.execute(
            f"ALTER POLICY {table}_of_org ON {table}"
            " USING ((org = current_setting('app.org', true)) IS TRUE)"
        )
        op.execute(f"CREATE POLICY {table}_of_fleet ON {table} TO volary_fleet USING (true)")


def downgrade() -> None:
    for table in _TENANT_TABLES:
        op.execute(f"DROP POLICY {table}_of_fleet ON {table}")
        op.execute(
            f"ALTER POLICY {table}_of_org ON {table} USING (org = current_setting('app.org', true)"
            " OR current_setting('app.fleet', true) = 'on')"
        )
    # The role stays: other databases of the server may use it.
    op.execute("REVOKE ALL ON ALL TABLES IN SCHEMA public FROM volary_fleet")
    op.execute("REVOKE ALL ON ALL FUNCTIONS IN SCHEMA public FROM volary_fleet")
    op.execute("REVOKE ALL ON SCHEMA public FROM volary_fleet")
