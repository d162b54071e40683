"""The unmodified SDK in a pod, through the proxy, to a control plane with logins."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from connectrpc.code import Code
from connectrpc.errors import ConnectError
from flyteidl2.auth.identity_connect import IdentityServiceClient
from flyteidl2.auth.identity_pb2 import UserInfoRequest
from flyteidl2.common.identifier_pb2 import RunIdentifier
from flyteidl2.task.run_pb2 import RunSpec
from flyteidl2.task.task_definition_pb2 import TaskSpec
from flyteidl2.workflow.run_service_connect import RunServiceClient
from flyteidl2.workflow.run_service_pb2 import GetRunDetailsRequest

from controlplane.core.fair_scheduler import FairScheduler
from controlplane.store.database import Database, open_database
from controlplane.store.dispatch import dispatches
from controlplane.store.dispatch.claim import claim
from controlplane.store.dispatch.reports import apply_reports
from controlplane.store.resources.clusters import save_cluster
from controlplane.store.resources.specs import find_specs
from dataplane.agent.core import pod_identity
from dataplane.agent.link.attempt_tokens import AttemptTokens
from dataplane.agent.link.channel import Token
from dataplane.agent.proxy.credentials import AttemptCredentials
from dataplane.agent.runtimes.environment import Endpoint, substitute, system_variables
from dataplane.agent.runtimes.kubernetes.proxy_environment import proxy_environment
from shared.kit.clock import SystemClock
from shared.kit.secrets import SecretText, digest_of
from shared.kit.trust_file import TrustFile
from shared.model.assignments import Assignment
from shared.model.ids import ClusterName
from shared.model.phases import Phase
from shared.model.reports import Report
from tests.integration.logins.world import ORG, LoginWorld, running
from tests.kube.api.proxy.world import Pod, World as Proxies, world
from tests.kube.controlplane import KubeForTests
from tests.running import until
from tests.servers.postgres import DatabaseForTest

PODS = ClusterName("pods")
"""The cluster of the proxy; the children run in another one, as processes."""
TOKEN_OF_PODS = "the-token-of-the-cluster-with-pods"  # noqa: S105
A0 = Path(sys.executable).with_name("a0")


@dataclass(frozen=True, slots=True)
class Stage:
    plane: LoginWorld
    proxies: Proxies
    database: Database

    async def lease(self) -> Assignment:
        """Lease the next attempt to the cluster of the proxy, which accepts it."""
        found: list[Assignment] = []

        async def is_leased() -> bool:
            now = SystemClock().now()
            async with self.database.for_org(ORG) as tx:
                claimed = await claim(tx, PODS, "", scheduler=FairScheduler(), most=1, now=now)
                found.extend(claimed.assignments)
                leases = [(each.attempt, each.lease) for each in found]
                await dispatches.accept(tx, PODS, leases, now)
            return bool(found)

        await until(is_leased, "an attempt waits")
        return found[0]

    async def run_a0(self, pod: Pod) -> str:
        """Run the SDK's entry point as the pod's container would; return what it printed."""
        assignment = pod.assignment
        async with self.database.for_org(ORG) as tx:
            specs = await find_specs(tx, [assignment.task_spec, assignment.run_spec])
        container = TaskSpec.FromString(specs[assignment.task_spec]).task_template.container
        run = RunSpec.FromString(specs[assignment.run_spec])
        work = self.plane.home / "pod"
        work.mkdir()
        address = self.proxies.url.removeprefix("https://")
        process = await asyncio.create_subprocess_exec(
            str(A0),
            *substitute(container.args, assignment)[1:],
            cwd=work,
            env={
                "HOME": str(self.plane.home),
                "PATH": os.environ["PATH"],
                "FSSPEC_FILE_AUTO_MKDIR": "1",
                **{pair.key: pair.value for pair in (*container.env, *run.envs.values)},
                **system_variables(assignment, Endpoint(address=address, insecure=False)),
                **self.variables(pod, address),
            },
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await asyncio.wait_for(process.communicate(), 120)
        return output.decode()

    def variables(self, pod: Pod, address: str) -> Mapping[str, str]:
        token = self.plane.home / "token-of-the-pod"
        token.write_text(f"{pod.token}\n")
        places = {pod_identity.TOKEN_FILE: token, pod_identity.CA_FILE: self.proxies.ca_file}
        found = dict(proxy_environment(address))
        for place, real in places.items():
            found = {name: value.replace(place, str(real)) for name, value in found.items()}
        return found

    async def report(self, assignment: Assignment) -> None:
        """Report that the attempt has succeeded, as the agent would."""
        now = SystemClock().now()
        reports = [
            Report(
                attempt=assignment.attempt,
                lease=assignment.lease,
                version=version,
                phase=phase,
                at=now,
                output_uri=assignment.output_prefix if phase is Phase.SUCCEEDED else "",
            )
            for version, phase in enumerate((Phase.RUNNING, Phase.SUCCEEDED), start=1)
        ]
        async with self.database.for_org(ORG) as tx:
            await apply_reports(tx, PODS, reports, now)

    async def subject(self, pod: Pod) -> str:
        """Return who the control plane says the pod is."""
        client = IdentityServiceClient(self.proxies.url, **self.proxies.clients(pod.token))
        return str((await client.user_info(UserInfoRequest())).subject)


@pytest.fixture
async def stage(
    kube_api: KubeForTests, test_database: DatabaseForTest, tmp_path: Path
) -> AsyncIterator[Stage]:
    home = tmp_path / "world"
    home.mkdir()
    database, clock = open_database(test_database.url), SystemClock()
    with running(home, test_database, agent=False) as plane:
        await plane.make_api_key()
        async with database.for_org(ORG) as tx:
            await save_cluster(tx, PODS, digest_of(SecretText(TOKEN_OF_PODS)), clock.now())
        token = home / "token-of-pods"
        token.write_text(TOKEN_OF_PODS)
        tokens = AttemptTokens([plane.link], Token(token), None, clock)
        async with world(
            kube_api,
            tmp_path,
            plane.url,
            credential=AttemptCredentials(tokens.find, dict),
            trust=TrustFile(plane.authority.certificate),
        ) as proxies:
            yield Stage(plane, proxies, database)
    await database.close()


async def test_tasks_nest_fan_out_and_trace_through_the_proxy(stage: Stage) -> None:
    created = stage.plane.call(
        "secret.SecretService/CreateSecret",
        {"id": {"name": "password"}, "secretSpec": {"stringValue": "12345678"}},
        stage.plane.token_of_key(),
    )
    assert created.status_code == 200, created.text
    program = stage.plane.run_task("whole", 3)
    pod = await stage.proxies.pod(assignment=await stage.lease())
    stage.plane.agent.start()  # for the children

    output = await stage.run_a0(pod)
    assert await stage.subject(pod) == f"attempt:{pod.assignment.attempt.action}", output
    await stage.report(pod.assignment)
    await until(lambda: not program.is_running, "the program has ended", at_most=120)

    assert "outputs [20]" in program.output(), output
    await until(lambda: is_refused(stage, pod), "the pod is refused")


async def is_refused(stage: Stage, pod: Pod) -> bool:
    try:
        await stage.subject(pod)
    except ConnectError as error:
        return error.code in {Code.UNAUTHENTICATED, Code.PERMISSION_DENIED}
    return False


async def test_pod_with_the_lease_of_no_running_attempt_is_refused(stage: Stage) -> None:
    """Annotations alone are no identity: they have to name a lease, which cannot be guessed."""
    forged = await stage.proxies.pod("victim")
    runs = RunServiceClient(stage.proxies.url, **stage.proxies.clients(forged.token))
    run = RunIdentifier(project="flytesnacks", domain="development", name="victim")
    with pytest.raises(ConnectError) as refused:
        await runs.get_run_details(GetRunDetailsRequest(run_id=run))
    assert refused.value.code is Code.PERMISSION_DENIED
    assert "no running attempt" in refused.value.message
