"""A task that an artifact would start."""

import flyte

env = flyte.TaskEnvironment(name="on_artifact")


@env.task(triggers=flyte.Trigger("retrain", flyte.OnArtifact("model")))
async def main() -> None:
    """Never run."""
