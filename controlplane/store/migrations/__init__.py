"""
Migrations of the schema (Alembic revisions).

Revisions run while the previous release still serves, so each must leave that release working:
expand first, backfill, contract a release later.
"""

from collections.abc import Callable
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy.exc import DBAPIError

from controlplane.core.errors import UnfitDatabaseError
from controlplane.store.migrations.running import Upgrade


def config(url: str) -> Config:
    """Return Alembic's configuration for the database at ``url`` (its owner's address)."""
    made = Config()
    made.set_main_option("script_location", str(Path(__file__).parent))
    made.set_main_option("file_template", "%%(year)d%%(month).2d%%(day).2d_%%(slug)s")
    made.attributes["url"] = url
    return made


def upgrade(
    url: str, revision: str = "head", *, report: Callable[[str], None] = lambda _: None
) -> None:
    """
    Migrate the database to ``revision``; concurrent callers run one after the other.

    Blocks until it is done; ``report`` is called with a line for each step. A database that is
    newer, and works with this release, is left as it is. UnfitDatabaseError: it does not, or a
    contract step would break a replica that is connected, or the server refused a statement.
    """
    made = config(url)
    run(made, revision, report=report)


def run(made: Config, revision: str, *, report: Callable[[str], None] = lambda _: None) -> None:
    """Do so with a configuration of one's own."""
    made.attributes["upgrade"] = Upgrade(report, "" if revision == "head" else revision)
    try:
        command.upgrade(made, revision)
    except DBAPIError as error:
        reason = str(error.orig).partition(":")[2].strip() or str(error.orig)
        raise UnfitDatabaseError(
            f"a step failed and was rolled back, and those before it are kept ({reason}); run "
            "`volary db upgrade` again, and if it waited for a lock, end the transaction that holds "
            "it first"
        ) from error
