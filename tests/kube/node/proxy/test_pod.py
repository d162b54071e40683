"""A pod as it is made for a task, on a real node: the kubelet's own token, the SDK as it is."""

from pathlib import Path

from flyteidl2.workflow.run_service_pb2 import GetRunDetailsResponse

from dataplane.agent.kube.objects import annotate_attempt, label_attempt
from dataplane.agent.runtimes.kubernetes.pods import identity
from dataplane.agent.runtimes.kubernetes.pods.settings import ProxyAccess
from dataplane.agent.runtimes.kubernetes.proxy_environment import proxy_environment
from tests.kube import images
from tests.kube.api.proxy.control import played
from tests.kube.api.proxy.world import AGENTS_TOKEN, ORG, assign, world
from tests.kube.client import Json
from tests.servers.kubernetes import NodeForTests
from tests.system.commands import DOMAIN, PROJECT

_SCRIPT = f"""
import flyte
from flyte.remote import Run

flyte.init_in_cluster(org="{ORG}", project="{PROJECT}", domain="{DOMAIN}")
try:
    print("run", Run.get(name="r1").name)
    Run.get(name="another")
except Exception as error:
    print("refused", error)
"""


def _has_ended(pod: Json) -> bool:
    return pod.get("status", {}).get("phase") in {"Succeeded", "Failed"}


async def test_sdk_in_a_pod_authenticates_with_the_kubelets_token(
    kube_node: NodeForTests, tmp_path: Path
) -> None:
    machine = kube_node.place.network.machine
    details = GetRunDetailsResponse()
    details.details.action.id.run.name = "r1"
    details.details.action.id.name = "a0"
    async with (
        played() as control,
        world(kube_node.kube, tmp_path, control.url, address=machine) as here,
    ):
        control.say("GetRunDetails", details)
        await here.proxy.authority.publish(here.namespace)
        proxy = ProxyAccess(address=here.url.removeprefix("https://"))
        assignment = assign("r1", "a0", "s3://bucket")
        container = {
            "name": "main",
            "image": images.TASK_IMAGE,
            "command": ["python3", "-c", _SCRIPT],
            "env": [
                {"name": name, "value": value}
                for name, value in proxy_environment(proxy.address).items()
            ],
            "volumeMounts": [identity.mount()],
        }
        path = f"/api/v1/namespaces/{here.namespace}/pods"
        pod = {
            "metadata": {
                "name": "one",
                "labels": label_attempt(assignment),
                "annotations": annotate_attempt(assignment),
            },
            "spec": {
                "restartPolicy": "Never",
                "containers": [container],
                "volumes": [identity.volume(proxy)],
            },
        }
        await here.api.create(path, pod)
        await here.api.wait_for(f"{path}/one", _has_ended)
        output = await here.api.log(f"{path}/one")

    assert "run r1" in output, output
    assert "refused" in output
    assert "neither its own run" in output
    assert {seen.headers["authorization"] for seen in control.seen} == {f"Bearer {AGENTS_TOKEN}"}
    own = [seen for seen in control.seen if "x-volary-attempt" in seen.headers]
    assert own[0].headers["x-volary-attempt"] == str(assignment.attempt)
