"""All plugins that there are. A new one is a file beside this and a line here."""

from collections.abc import Sequence

from dataplane.agent.runtimes.kubernetes.plugin import Plugin
from dataplane.agent.runtimes.kubernetes.plugins.clustered import ClusteredPlugin
from dataplane.agent.runtimes.kubernetes.plugins.dask import DaskPlugin
from dataplane.agent.runtimes.kubernetes.plugins.mpi import MPIPlugin
from dataplane.agent.runtimes.kubernetes.plugins.pod import PodPlugin
from dataplane.agent.runtimes.kubernetes.plugins.pytorch import PyTorchPlugin
from dataplane.agent.runtimes.kubernetes.plugins.ray import RayPlugin
from dataplane.agent.runtimes.kubernetes.plugins.spark import SparkPlugin
from dataplane.agent.runtimes.kubernetes.plugins.tensorflow import TensorFlowPlugin
from dataplane.agent.runtimes.kubernetes.waiting import Patience


def all_plugins(patience: Patience | None = None) -> Sequence[Plugin]:
    """Return one of each; an agent has those whose resource its API server knows."""
    patience = patience or Patience()
    return (
        PodPlugin(patience=patience),
        ClusteredPlugin(patience=patience),
        DaskPlugin(patience=patience),
        MPIPlugin(patience=patience),
        PyTorchPlugin(patience=patience),
        RayPlugin(patience=patience),
        SparkPlugin(patience=patience),
        TensorFlowPlugin(patience=patience),
    )


def find_plugin(plugins: Sequence[Plugin], task_type: str) -> Plugin | None:
    return next((each for each in plugins if task_type in each.task_types), None)
