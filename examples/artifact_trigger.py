"""
A run for each new version of an artifact, with the version's value and one of its partitions.

    flyte deploy examples/artifact_trigger.py env
    flyte create artifact raw-events --from-file events.csv --partition region=eu
"""

import flyte
from flyte.io import File

env = flyte.TaskEnvironment(name="artifact_trigger")

clean_eu = flyte.Trigger(
    "clean-eu",
    flyte.OnArtifact("raw-events", region="eu"),
    inputs={"raw": flyte.TriggeredArtifact, "region": flyte.TriggeredPartition("region")},
)


@env.task(triggers=clean_eu)
async def main(raw: File, region: str) -> str:
    """Count the lines of a version."""
    async with raw.open("rb") as file:
        content = await file.read()
    return f"{len(content.splitlines())} lines of {region}"
