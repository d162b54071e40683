"""
${message}

This revision runs while the release before it still serves: add, do not change or take
away what that release uses. A contract step, which does, names the oldest schema whose
programs do not use it: ``requires = "0058"``. An index of an existing table: a revision of its own, with
``sessions.create_index_concurrently``.

Revision: ${up_revision}, after ${down_revision}.
"""

import sqlalchemy as sa
from alembic import op
${imports if imports else ""}

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = None
depends_on = None


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}
