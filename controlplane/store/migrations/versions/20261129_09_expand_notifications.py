"""
Adds notifications: phases to report, and the deliveries that report them.

A trigger inserts into ``phase_events`` whenever an action that is to be reported enters a phase,
also if the previous release changes it. Actions that are not to be reported, nearly all, cost
the evaluation of its condition.

This revision runs while the previous release still serves: add; do not change or remove what
that release uses.

Revision: 0022, after 0021.
"""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

_TABLES = ("phase_events", "deliveries")

_CONDITION = 3
_PAUSED = 9

# A condition is reported to its own webhook, and by the rules of its run, which are the root's.
_FUNCTION = f"""
CREATE FUNCTION record_phase() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public AS $$
BEGIN
    IF (NEW.notify >> NEW.phase) & 1 = 1 OR (
        NEW.type = {_CONDITION} AND NEW.phase = {_PAUSED} AND EXISTS (
            SELECT 1 FROM actions r
            WHERE r.org = NEW.org AND r.id = NEW.run_id AND (r.notify >> {_PAUSED}) & 1 = 1))
    THEN
        INSERT INTO phase_events (org, action_id, phase, run_id)
        VALUES (NEW.org, NEW.id, NEW.phase, NEW.run_id) ON CONFLICT DO NOTHING;
    END IF;
    RETURN NULL;
END $$
"""
_ON_INSERT = f"""
CREATE TRIGGER record_first_phase AFTER INSERT ON actions FOR EACH ROW
WHEN (NEW.notify <> 0 OR NEW.type = {_CONDITION}) EXECUTE FUNCTION record_phase()
"""
_ON_UPDATE = """
CREATE TRIGGER record_phase AFTER UPDATE OF phase ON actions FOR EACH ROW
WHEN (NEW.notify <> 0 AND NEW.phase <> OLD.phase) EXECUTE FUNCTION record_phase()
"""


def _at(name: str, *, nullable: bool = False) -> "sa.Column[object]":
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _text(name: str, default: str | None = "") -> "sa.Column[str]":
    return sa.Column(name, sa.Text(), server_default=default, nullable=False)


def _uuid(name: str) -> "sa.Column[object]":
    return sa.Column(name, sa.Uuid(), nullable=False)


def _number(
    name: str, kind: "type[sa.Integer | sa.SmallInteger]", default: str | None
) -> "sa.Column[int]":
    return sa.Column(name, kind(), server_default=default, nullable=False)


def upgrade() -> None:
    op.create_table(
        "phase_events",
        _text("org", None),
        _uuid("action_id"),
        _number("phase", sa.SmallInteger, None),
        _uuid("run_id"),
        sa.PrimaryKeyConstraint("org", "action_id", "phase", name=op.f("phase_events_pkey")),
        postgresql_with={
            "autovacuum_vacuum_scale_factor": "0",
            "autovacuum_vacuum_threshold": "1000",
        },
    )
    _create_deliveries()
    for table in _TABLES:
        op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO volary_app, volary_fleet")
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(
            f"CREATE POLICY {table}_of_org ON {table} TO volary_app"
            " USING ((org = current_setting('app.org', true)) IS TRUE)"
        )
        op.execute(f"CREATE POLICY {table}_of_fleet ON {table} TO volary_fleet USING (true)")
    op.add_column("actions", _number("notify", sa.SmallInteger, "0"))
    op.execute(_FUNCTION)
    op.execute("REVOKE ALL ON FUNCTION record_phase FROM PUBLIC")
    op.execute(_ON_INSERT)
    op.execute(_ON_UPDATE)


def _create_deliveries() -> None:
    op.create_table(
        "deliveries",
        _text("org", None),
        _uuid("delivery_id"),
        _uuid("run_id"),
        _uuid("action_id"),
        _number("phase", sa.SmallInteger, None),
        _number("rule", sa.Integer, None),
        _number("channel", sa.SmallInteger, None),
        _text("config"),
        _text("target"),
        _number("state", sa.SmallInteger, "0"),
        _number("tries", sa.Integer, "0"),
        _at("due_at"),
        _number("status", sa.Integer, "0"),
        _text("error"),
        _at("created_at"),
        _at("ended_at", nullable=True),
        sa.PrimaryKeyConstraint("org", "delivery_id", name=op.f("deliveries_pkey")),
        sa.UniqueConstraint(
            "org",
            "action_id",
            "phase",
            "rule",
            "channel",
            "config",
            name=op.f("deliveries_org_action_id_phase_rule_channel_config_key"),
        ),
        postgresql_with={"fillfactor": "70"},
    )
    op.create_index(
        "deliveries_due",
        "deliveries",
        ["org", "target", "due_at", "delivery_id"],
        postgresql_where=sa.text("state = 0"),
    )
    op.create_index("deliveries_by_state", "deliveries", ["org", "state", "delivery_id"])
    op.create_index(
        "deliveries_ended", "deliveries", ["ended_at"], postgresql_where=sa.text("state <> 0")
    )


def downgrade() -> None:
    op.execute("DROP TRIGGER record_phase ON actions")
    op.execute("DROP TRIGGER record_first_phase ON actions")
    op.execute("DROP FUNCTION record_phase")
    op.drop_column("actions", "notify")
    for table in reversed(_TABLES):
        op.drop_table(table)
