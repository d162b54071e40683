"""
Fills in the run whose outputs an action got from the cache, in pages of ten thousand actions.

Revision: 0052, after 0051.
"""

from alembic import op

revision = "0052"
down_revision = "0051"
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
            SELECT org, id, cached_from FROM actions WHERE (org, id) > (past_org, past_id)
            ORDER BY org, id LIMIT 10000
        ), filled AS (
            UPDATE actions a
            SET cached_run = (p.cached_from ->> 0) || '/' || (p.cached_from ->> 1) || '/'
                             || (p.cached_from ->> 2)
            FROM page p
            WHERE a.org = p.org AND a.id = p.id AND (p.cached_from ->> 2) <> ''
        )
        SELECT org, id INTO past_org, past_id FROM page
        ORDER BY org DESC, id DESC LIMIT 1;
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
