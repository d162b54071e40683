"""The doctor's checks that a running agent repeats: cheap, and by connections that it has anyway."""

from collections.abc import Mapping, Sequence
from datetime import timedelta

from dataplane.agent.doctor import cluster
from dataplane.agent.doctor.checks import run_all
from dataplane.agent.doctor.clocks import check_skew
from dataplane.agent.doctor.cluster import Patient
from dataplane.agent.doctor.identity import check_identity
from dataplane.agent.doctor.results import CheckResult, Outcome
from dataplane.agent.kube.client import Kube
from dataplane.agent.kube.errors import KubeError
from dataplane.agent.settings import KubernetesSettings, Settings
from shared.kit.clock import Clock
from shared.model.findings import Finding, FindingOutcome

_TIMEOUT = timedelta(seconds=5)  # for an API server that does not answer
_OUTCOMES: Mapping[Outcome, FindingOutcome] = {
    Outcome.OK: FindingOutcome.OK,
    Outcome.WARN: FindingOutcome.WARNING,
    Outcome.FAIL: FindingOutcome.FAULT,
}


async def run_regular_checks(
    settings: Settings, clock: Clock, skew: timedelta | None
) -> Sequence[Finding]:
    """
    Check the agent's certificate and, in a cluster, the API server, permissions and namespaces.

    ``skew``: how far this clock is ahead of the control plane's; None if it is not known yet.
    Bucket, API and proxy are not checked: each costs a connection or writes something, and what
    an attempt needs of them shows in its failures.
    """
    results = list((await check_identity(settings, clock)).results)
    if skew is not None:
        results.append(check_skew(skew, "the control plane's"))
    if isinstance(settings.runtime, KubernetesSettings):
        results += await _check_cluster(settings.runtime, clock)
    return [
        Finding(
            about=each.about, outcome=_OUTCOMES[each.outcome], text=each.text, remedy=each.remedy
        )
        for each in results
    ]


async def _check_cluster(settings: KubernetesSettings, clock: Clock) -> Sequence[CheckResult]:
    async with Kube.open(settings.kubeconfig, retry_timeout=_TIMEOUT) as kube:
        patient = Patient(kube=kube, settings=settings, namespaces=(), clock=clock)
        try:
            first = await cluster.check_server(patient)
        except KubeError as error:
            return [cluster.no_answer(error)]
        rest = await run_all(
            (cluster.ABOUT, lambda: cluster.check_definition(patient)),
            ("permissions", lambda: cluster.check_permissions(patient)),
            ("plugins", lambda: cluster.check_plugins(patient)),
            ("namespaces", lambda: cluster.check_namespaces(patient)),
        )
    return [*first, *rest]
