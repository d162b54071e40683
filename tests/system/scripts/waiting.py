"""Run a task that is in this user's hands, wait for it, and print what came out."""

import sys
from pathlib import Path

import flyte

sys.path.insert(0, str(Path(__file__).parents[1] / "workflows"))

import values  # type: ignore[import-not-found]  # from there

endpoint, text = sys.argv[1:]
flyte.init(
    endpoint=endpoint,
    insecure=True,
    project="flytesnacks",
    domain="development",
    root_dir=Path(values.__file__).parent,
)
run = flyte.run(
    values.main, first=values.Reading(celsius=1.5, tags=[text]), second=values.Reading(celsius=1)
)
print(run.name, run.url)
run.wait()
summary, first_is_hottest, nothing = run.outputs()
print(type(summary).__name__, summary.hottest.tags, first_is_hottest, nothing)
