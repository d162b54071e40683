"""Builds every object of the agent once, and runs its services in one task group."""

from dataplane.agent.main.processes import run_processes
from dataplane.agent.settings import KubernetesSettings, ProcessSettings, Settings


async def run_agent(settings: Settings) -> None:
    """Run until cancelled; the first service to fail stops the others."""
    match settings.runtime:
        case ProcessSettings() as own:
            await run_processes(settings, own)
        case KubernetesSettings():
            raise NotImplementedError("pods are not run yet")
