"""
Migrations of the schema (Alembic revisions).

Revisions run while the previous release still serves, so each must leave that release working:
expand first, backfill, contract a release later.
"""

from pathlib import Path

from alembic import command
from alembic.config import Config


def config(url: str) -> Config:
    """Return Alembic's configuration for the database at ``url`` (its owner's address)."""
    made = Config()
    made.set_main_option("script_location", str(Path(__file__).parent))
    made.set_main_option("file_template", "%%(year)d%%(month).2d%%(day).2d_%%(slug)s")
    made.attributes["url"] = url
    return made


def upgrade(url: str, revision: str = "head") -> None:
    """
    Migrate the database to ``revision``; concurrent callers run one after the other.

    Blocks until it is done; raises Alembic's and the driver's errors.
    """
    command.upgrade(config(url), revision)
