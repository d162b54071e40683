"""
Adds the priority to dispatches, beside the ``urgency`` that the previous release uses.

The urgency is the priority with the sign changed. A trigger keeps both the same, whichever
release writes a row; it runs only for rows in which they differ. A revision of the next release
drops the trigger, the urgency and its index.

This revision runs while the previous release still serves: add; do not change or remove what
that release uses.

Revision: 0008, after 0007.
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_FUNCTION = """
CREATE FUNCTION copy_dispatch_priority() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public AS $$
BEGIN
    IF NEW.priority IS NULL OR (TG_OP = 'UPDATE' AND NEW.urgency <> OLD.urgency) THEN
        NEW.priority := -NEW.urgency;  -- the previous release writes this row
    ELSE
        NEW.urgency := -NEW.priority;
    END IF;
    RETURN NEW;
END $$
"""

_TRIGGER = """
CREATE TRIGGER copy_priority BEFORE INSERT OR UPDATE OF priority, urgency ON dispatches
FOR EACH ROW WHEN (NEW.priority IS NULL OR NEW.priority <> -NEW.urgency)
EXECUTE FUNCTION copy_dispatch_priority()
"""


def upgrade() -> None:
    # With a default, existing rows need not be rewritten; without one from then on, the trigger
    # can tell the rows that the previous release inserts.
    op.add_column(
        "dispatches", sa.Column("priority", sa.SmallInteger(), server_default="0", nullable=False)
    )
    op.alter_column("dispatches", "priority", server_default=None)
    op.execute(_FUNCTION)
    op.execute("REVOKE ALL ON FUNCTION copy_dispatch_priority FROM PUBLIC")
    op.execute(_TRIGGER)


def downgrade() -> None:
    op.execute("DROP TRIGGER copy_priority ON dispatches")
    op.execute("DROP FUNCTION copy_dispatch_priority")
    op.drop_column("dispatches", "priority")
