"""
Fills in the task of runs that existed before, in pages of a thousand.

Revision: 0044, after 0043.
"""

from alembic import op

revision = "0044"
down_revision = "0043"
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
            SELECT org, run_id FROM runs WHERE (org, run_id) > (past_org, past_id)
            ORDER BY org, run_id LIMIT 1000
        ), filled AS (
            UPDATE runs r SET root_task = a.task_name FROM page p, actions a
            WHERE r.org = p.org AND r.run_id = p.run_id AND r.root_task = ''
              AND a.org = p.org AND a.id = p.run_id AND a.task_name <> ''
        )
        SELECT org, run_id INTO past_org, past_id FROM page
        ORDER BY org DESC, run_id DESC LIMIT 1;
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
