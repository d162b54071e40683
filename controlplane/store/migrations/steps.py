"""Reads the revisions of this release as steps, in their order."""

import re
from collections.abc import Sequence
from functools import cache
from importlib.metadata import version
from pathlib import Path

from alembic.config import Config
from alembic.script import Script, ScriptDirectory

from controlplane.core.schema_steps import Step, StepKind

_FILE = re.compile(r"\d{8}_\d\d_(?P<kind>expand|backfill|contract)_(?P<subject>\w+)")


@cache
def steps_of_release() -> Sequence[Step]:
    """Return the steps of this release; the last one's revision is its schema."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    return steps_of(ScriptDirectory.from_config(config))


def steps_of(script: ScriptDirectory) -> Sequence[Step]:
    """Return the steps of a directory of revisions, the first one first."""
    return [read_step(each) for each in reversed(list(script.walk_revisions()))]


def read_step(script: Script) -> Step:
    """Read one revision; a file without a kind in its name, as tests write, is an expand step."""
    name = _FILE.fullmatch(Path(script.path).stem)
    requires: str = getattr(script.module, "requires", "")
    if name is None:
        kind = StepKind.CONTRACT if requires else StepKind.EXPAND
        return Step(script.revision, kind, Path(script.path).stem, requires)
    return Step(
        script.revision, StepKind(name["kind"]), name["subject"].replace("_", " "), requires
    )


def schema_of_release() -> str:
    """Return the revision that this release was made for."""
    return steps_of_release()[-1].revision


def release() -> str:
    """Return the version of this release."""
    return version("volary")
