"""Builds the agent's objects and runs its services in one task group."""

from dataplane.agent.main.checks import Checks
from dataplane.agent.main.processes import run_processes
from dataplane.agent.settings import ProcessSettings, Settings


async def run_agent(settings: Settings, checks: Checks) -> None:
    """
    Run the agent until cancelled; the first service to fail stops the others.

    ``checks``: of what the agent depends on, whose findings the control plane is sent.
    """
    if isinstance(settings.runtime, ProcessSettings):
        await run_processes(settings, settings.runtime, checks)
    else:
        # The Kubernetes client takes a second to import, which process agents need not pay.
        from dataplane.agent.main.pods import run_pods  # noqa: PLC0415

        await run_pods(settings, settings.runtime, checks)
