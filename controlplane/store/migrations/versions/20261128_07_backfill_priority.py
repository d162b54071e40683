"""
Fills in the priority of dispatches that existed before, in pages of a thousand.

Only those whose priority is not zero: the column's default was zero when it was added.

Revision: 0009, after 0008.
"""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_FILL = """
DO $$
DECLARE
    past_org text := '';
    past_id uuid := '00000000-0000-0000-0000-000000000000';
BEGIN
    LOOP
        WITH page AS MATERIALIZED (
            SELECT org, action_id FROM dispatches WHERE (org, action_id) > (past_org, past_id)
            ORDER BY org, action_id LIMIT 1000
        ), filled AS (
            UPDATE dispatches d SET priority = -d.urgency FROM page p
            WHERE d.org = p.org AND d.action_id = p.action_id AND d.priority <> -d.urgency
        )
        SELECT org, action_id INTO past_org, past_id FROM page
        ORDER BY org DESC, action_id DESC LIMIT 1;
        EXIT WHEN NOT FOUND;
        COMMIT;
    END LOOP;
END $$
"""


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute(_FILL)


def downgrade() -> None:
    pass
