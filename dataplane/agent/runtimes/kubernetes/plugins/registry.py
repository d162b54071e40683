"""List of all plugins. To add one, create a file in this folder and add a line here."""

from collections.abc import Sequence

from dataplane.agent.runtimes.kubernetes.pending_reasons import PendingTimeouts
from dataplane.agent.runtimes.kubernetes.plugin import Plugin
from dataplane.agent.runtimes.kubernetes.plugins.clustered import ClusteredPlugin
from dataplane.agent.runtimes.kubernetes.plugins.dask import DaskPlugin
from dataplane.agent.runtimes.kubernetes.plugins.mpi import MPIPlugin
from dataplane.agent.runtimes.kubernetes.plugins.pod import PodPlugin
from dataplane.agent.runtimes.kubernetes.plugins.pytorch import PyTorchPlugin
from dataplane.agent.runtimes.kubernetes.plugins.ray import RayPlugin
from dataplane.agent.runtimes.kubernetes.plugins.spark import SparkPlugin
from dataplane.agent.runtimes.kubernetes.plugins.tensorflow import TensorFlowPlugin


def all_plugins(timeouts: PendingTimeouts | None = None) -> Sequence[Plugin]:
    """Return one of each; an agent uses those whose resource its API server serves."""
    timeouts = timeouts or PendingTimeouts()
    return (
        PodPlugin(timeouts=timeouts),
        ClusteredPlugin(timeouts=timeouts),
        DaskPlugin(timeouts=timeouts),
        MPIPlugin(timeouts=timeouts),
        PyTorchPlugin(timeouts=timeouts),
        RayPlugin(timeouts=timeouts),
        SparkPlugin(timeouts=timeouts),
        TensorFlowPlugin(timeouts=timeouts),
    )


def find_plugin(plugins: Sequence[Plugin], task_type: str) -> Plugin | None:
    return next((each for each in plugins if task_type in each.task_types), None)
