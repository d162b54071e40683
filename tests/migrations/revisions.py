"""Revisions after those of the product, for tests of how revisions run."""

from collections.abc import Sequence
from pathlib import Path

from alembic.config import Config
from alembic.script import ScriptDirectory

CREATE_TABLE = 'op.execute("CREATE TABLE first_of_test (x int)")'
CREATE_INDEX = 'create_index_concurrently("runs_by_test", "ON runs (org, project)")'
FAIL = 'op.execute("SELECT 1 / 0")'

_REVISION = """
from alembic import op
from controlplane.store.migrations.sessions import create_index_concurrently

revision, down_revision = {name!r}, {before!r}
branch_labels = depends_on = None
requires = {requires!r}


def upgrade() -> None:
    {does}
"""


def add_revisions(
    config: Config, directory: Path, *steps: str, requires: str = ""
) -> Sequence[str]:
    """
    Write a revision for each of ``steps`` and add them to ``config``; return their names.

    ``requires``: the last one is a contract step, which requires this schema.
    """
    script = ScriptDirectory.from_config(config)
    before, names = script.get_current_head(), []
    for number, does in enumerate(steps):
        name = f"test_{number}"
        text = _REVISION.format(
            name=name,
            before=before,
            does=does,
            requires=requires if number == len(steps) - 1 else "",
        )
        (directory / f"{name}.py").write_text(text)
        names.append(name)
        before = name
    config.set_main_option("path_separator", "newline")
    locations = [Path(script.dir) / "versions", directory]
    config.set_main_option("version_locations", "\n".join(map(str, locations)))
    return names
