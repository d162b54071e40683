"""As a user writes it: a task that runs in several pods at once."""

from flyte.clustered import ClusteredTaskEnvironment

env = ClusteredTaskEnvironment(
    name="training", image="registry.example/team/training:1", replicas=2, nproc_per_node=1
)


@env.task
async def train() -> None:
    """Never runs: there is no node."""
