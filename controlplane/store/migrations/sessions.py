"""
Timeouts of migrations, and statements that have to run without them, outside of a transaction.

Called by revisions, so what this writes must not change for revisions that are released.
"""

from collections.abc import Callable

from alembic import op


def set_timeouts(execute: Callable[[str], object]) -> None:
    """
    Set the session's timeouts for all revisions.

    A DDL statement that waits for its lock blocks every reader behind it: it gives up early, and
    the operator runs it again.
    """
    execute("SET lock_timeout = '4s'")
    execute("SET statement_timeout = '60s'")


def create_index_concurrently(name: str, definition: str) -> None:
    """
    Create an index while others write; ``definition`` follows the name: "ON runs (org, name)".

    It waits for all transactions that are open, so it has no timeout. What the revision did before
    is committed already, so let a revision do nothing else. If it fails, Postgres leaves an invalid
    index, which is dropped when the revision runs again.
    """
    with op.get_context().autocommit_block():
        op.execute("SET lock_timeout = 0")
        op.execute("SET statement_timeout = 0")
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
        op.execute(f"CREATE INDEX CONCURRENTLY {name} {definition}")
        set_timeouts(op.execute)
