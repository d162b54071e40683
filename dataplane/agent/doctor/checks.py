"""Run all checks concurrently, each with its own deadline; a failed check stops no other."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from datetime import timedelta

from dataplane.agent.doctor import cluster, controlplane, proxy, storage
from dataplane.agent.doctor.cluster import Patient
from dataplane.agent.doctor.results import CheckResult, fault, warning
from dataplane.agent.kube.client import Kube
from dataplane.agent.kube.errors import KubeError, NoAccessError
from dataplane.agent.settings import KubernetesSettings, Settings
from shared.kit.clock import Clock

logger = logging.getLogger(__name__)

_WITHIN = timedelta(seconds=30)  # one check
_TIMEOUT = timedelta(seconds=5)  # for an API server that does not answer

Check = Callable[[], Coroutine[None, None, Sequence[CheckResult]]]


async def run_checks(
    settings: Settings, namespaces: Sequence[str], clock: Clock
) -> Sequence[CheckResult]:
    """Run all checks; ``namespaces`` of tasks are checked in addition to the only one, if any."""
    async with asyncio.TaskGroup() as tasks:
        outside = tasks.create_task(_check_outside(settings, clock))
        inside = tasks.create_task(_check_inside(settings, namespaces, clock))
    return [*inside.result(), *outside.result()]


async def _check_outside(settings: Settings, clock: Clock) -> Sequence[CheckResult]:
    by_links = isinstance(settings.runtime, KubernetesSettings)

    async def link_and_storage() -> Sequence[CheckResult]:
        answers = await controlplane.check_replicas(settings, clock)
        if answers.probed is None:
            unknown = warning(
                storage.ABOUT,
                "not checked: the control plane did not report its address",
                "fix the control plane's check first",
            )
            return [*answers.results, unknown]
        base = answers.probed.storage_base
        return [*answers.results, *await storage.try_storage(base, by_links=by_links)]

    return await run_all(
        (controlplane.LINK, link_and_storage),
        (
            controlplane.API,
            lambda: controlplane.check_api(settings, settings.public_endpoint, clock),
        ),
    )


async def _check_inside(
    settings: Settings, namespaces: Sequence[str], clock: Clock
) -> Sequence[CheckResult]:
    runtime_settings = settings.runtime
    if not isinstance(runtime_settings, KubernetesSettings):
        return []
    try:
        async with Kube.open(runtime_settings.kubeconfig, retry_timeout=_TIMEOUT) as kube:
            patient = Patient(
                kube=kube, settings=runtime_settings, namespaces=namespaces, clock=clock
            )
            try:
                first = await cluster.check_server(patient)
            except KubeError as error:
                return [cluster.no_answer(error)]
            rest = await run_all(
                (cluster.ABOUT, lambda: cluster.check_definition(patient)),
                ("permissions", lambda: cluster.check_permissions(patient)),
                ("plugins", lambda: cluster.check_plugins(patient)),
                ("namespaces", lambda: cluster.check_namespaces(patient)),
                (proxy.ABOUT, lambda: proxy.check_proxy(patient)),
            )
            return [*first, *rest]
    except NoAccessError as error:
        return [fault(cluster.ABOUT, str(error), "run it in the agent's pod, or with --kubeconfig")]


async def run_all(*checks: tuple[str, Check]) -> Sequence[CheckResult]:
    """Run checks concurrently, each within its own time; return all results, in their order."""
    async with asyncio.TaskGroup() as tasks:
        looking = [tasks.create_task(_run_check(about, check)) for about, check in checks]
    return [result for each in looking for result in each.result()]


async def _run_check(about: str, check: Check) -> Sequence[CheckResult]:
    try:
        async with asyncio.timeout(_WITHIN.total_seconds()):
            return await check()
    except TimeoutError:
        return [
            fault(about, f"no answer within {_WITHIN.seconds} s", "try again; check the network")
        ]
    except KubeError as error:
        return [fault(about, str(error), "try again; check the API server")]
    except Exception as error:  # the other checks still give results
        logger.exception("check raised an error", extra={"check": about})
        return [
            fault(about, f"the check itself failed: {error!r}", "report this, with the log above")
        ]
