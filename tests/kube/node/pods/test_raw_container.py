"""A raw container on a real node: its copilots, the proxy's links, a store, and no key in the pod."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import flyte
import pytest
from flyteidl2.core.execution_pb2 import ErrorDocument
from flyteidl2.core.literals_pb2 import Literal
from flyteidl2.task.common_pb2 import Inputs, NamedLiteral, Outputs
from kubernetes.client import V1Container, V1PodSpec, V1SecurityContext

from dataplane.agent.kube.objects import Object, name_attempt
from dataplane.agent.runtimes.kubernetes.pods import Copilot, PodTemplates, ProxyAccess
from dataplane.agent.runtimes.protocol import Job
from shared.blobs.store import BlobStore, open_store
from shared.model.assignments import Assignment
from tests.kube.api.proxy.world import World, assign, world
from tests.kube.images import TASK_IMAGE
from tests.servers import seaweed
from tests.servers.kubernetes import NodeForTests
from tests.unit.agent.kubernetes.pods.sdk import make_raw

_UNUSED = "http://127.0.0.1:9"  # the control plane's address
_GREET = 'umask 077; printf "Hello, %s!" "$(cat /var/inputs/name)" > /var/outputs/greeting'
AS_CALLER = flyte.PodTemplate(
    pod_spec=V1PodSpec(
        containers=[V1Container(name="primary", security_context=V1SecurityContext(run_as_user=7))]
    )
)


@dataclass(slots=True)
class Scene:
    here: World
    store: BlobStore
    assignment: Assignment

    async def run(self, job: Job) -> Object:
        """Run the task's pod to its end."""
        job = replace(job, assignment=self.assignment)
        cluster = PodTemplates(
            proxy=ProxyAccess(address=self.here.url.removeprefix("https://")),
            copilot=Copilot(
                image=TASK_IMAGE,
                command=("python3", "-m", "dataplane.copilot"),
                ship_within=timedelta(minutes=2),
            ),
            defaults={"cpu": "100m", "memory": "64Mi"},
        )
        name = name_attempt(self.assignment, self.here.namespace)
        path = f"/api/v1/namespaces/{self.here.namespace}/pods"
        await self.here.api.create(path, cluster.build(job, name))
        return await self.here.api.wait_for(f"{path}/{name.name}", _has_ended, within=90)

    async def read(self, name: str) -> bytes:
        uri = f"{self.assignment.output_prefix}/{name}"
        return await self.store.read(uri, limit=1_000_000)


@pytest.fixture
async def scene(kube_node: NodeForTests, tmp_path: Path) -> AsyncIterator[Scene]:
    machine = kube_node.place.network.machine
    with seaweed.running(machine) as server:
        store = open_store(server.new_base(), server.options)
        assignment = assign("r1", "a0", store.base)
        name = Literal(scalar={"primitive": {"string_value": "pod"}})
        inputs = Inputs(literals=[NamedLiteral(name="name", value=name)])
        await store.write(assignment.input_uri, inputs.SerializeToString())
        async with world(
            kube_node.kube, tmp_path, _UNUSED, s3=server.options, address=machine
        ) as here:
            await here.proxy.authority.publish(here.namespace)
            yield Scene(here, store, assignment)


@pytest.mark.parametrize("template", [None, AS_CALLER], ids=["as root", "as somebody"])
async def test_raw_containers_inputs_and_outputs_are_transferred(
    scene: Scene, template: flyte.PodTemplate | None
) -> None:
    printed = {} if template is None else {"pod_template": template}
    ended = await scene.run(make_greeting(_GREET, **printed))

    assert ended["status"]["phase"] == "Succeeded", ended["status"]
    (output,) = Outputs.FromString(await scene.read("outputs.pb")).literals
    assert output.value.scalar.primitive.string_value == "Hello, pod!"


async def test_raw_container_error_file_is_its_error(scene: Scene) -> None:
    ended = await scene.run(make_greeting("echo 'no such name' > /var/outputs/_ERROR; exit 3"))

    assert ended["status"]["phase"] == "Failed"
    document = ErrorDocument.FromString(await scene.read("error.pb"))
    assert "no such name" in document.error.message


def make_greeting(script: str, **printed: object) -> Job:
    return make_raw(
        image=flyte.Image.from_base(TASK_IMAGE), command=["sh", "-c"], arguments=[script], **printed
    )


def _has_ended(pod: Object) -> bool:
    return pod["status"]["phase"] in {"Succeeded", "Failed"}
