"""
Adds the index by which the cache entries of a run are found.

Revision: 0051, after 0050.
"""

from alembic import op

from controlplane.store.migrations.sessions import create_index_concurrently

revision = "0051"
down_revision = "0050"
branch_labels = None
depends_on = None


def upgrade() -> None:
    create_index_concurrently(
        "cache_entries_by_run",
        "ON cache_entries (org, project, domain, run) WHERE run <> ''",
    )


def downgrade() -> None:
    op.drop_index("cache_entries_by_run", "cache_entries")
