"""A pod on the node is a process: it runs our image, talks, ends, is killed, and is gone."""

import asyncio
import json
from typing import Any

from tests.kube import images, nodes
from tests.kube.client import Json, KubeClient, wait_until
from tests.servers.kubernetes import NodeForTests


async def test_pod_runs_python_and_its_log_is_read(
    node_api: KubeClient, node_namespace: str
) -> None:
    await node_api.create(f"{node_namespace}/pods", _pod("import sys; print(sys.version_info[:2])"))
    ended = await node_api.wait_for(f"{node_namespace}/pods/one", _has_ended)

    assert ended["status"]["phase"] == "Succeeded"
    assert await node_api.log(f"{node_namespace}/pods/one") == "(3, 11)\n"


async def test_image_has_the_sdk_and_our_sources(node_api: KubeClient, node_namespace: str) -> None:
    script = "import flyte, dataplane.copilot, shutil; print(shutil.which('a0'))"
    await node_api.create(f"{node_namespace}/pods", _pod(script))
    ended = await node_api.wait_for(f"{node_namespace}/pods/one", _has_ended)

    assert await node_api.log(f"{node_namespace}/pods/one") == "/usr/local/bin/a0\n"
    assert ended["status"]["phase"] == "Succeeded"


async def test_job_completes(node_api: KubeClient, node_namespace: str) -> None:
    jobs = node_namespace.replace("/api/v1", "/apis/batch/v1") + "/jobs"
    template = {"spec": _pod("print('done')")["spec"]}
    await node_api.create(jobs, {"metadata": {"name": "one"}, "spec": {"template": template}})

    job = await node_api.wait_for(f"{jobs}/one", lambda job: job["status"].get("succeeded") == 1)
    assert {one["type"] for one in job["status"]["conditions"]} >= {"Complete"}


async def test_pod_over_memory_limit_is_oom_killed(
    node_api: KubeClient, node_namespace: str
) -> None:
    pod = _pod("b'x' * 200_000_000")
    main = pod["spec"]["containers"][0]
    # A container without a limit keeps the pod without one. Else pod and container have the same
    # limit, and containerd reports the one that was reached first, which may be the pod's.
    pod["spec"]["containers"].append(main | {"name": "other", "command": ["true"]})
    main["resources"] = {"limits": {"memory": "64Mi"}}
    await node_api.create(f"{node_namespace}/pods", pod)

    ended = await node_api.wait_for(f"{node_namespace}/pods/one", _has_ended)
    terminated = _container(ended)["state"]["terminated"]
    assert (terminated["reason"], terminated["exitCode"]) == ("OOMKilled", 137)


async def test_missing_image_is_reported(node_api: KubeClient, node_namespace: str) -> None:
    pod = _pod("")
    pod["spec"]["containers"][0] |= {"image": "volary.test/nowhere:1", "imagePullPolicy": "Never"}
    await node_api.create(f"{node_namespace}/pods", pod)

    def is_said(pod: Json) -> bool:
        waiting = _container(pod).get("state", {}).get("waiting", {})
        return bool(waiting.get("reason") == "ErrImageNeverPull")

    await node_api.wait_for(f"{node_namespace}/pods/one", is_said)


async def test_command_is_run_in_a_pod(
    node_api: KubeClient, node_namespace: str, kube_node: NodeForTests
) -> None:
    await node_api.create(f"{node_namespace}/pods", _pod("import time; time.sleep(600)"))
    await node_api.wait_for(f"{node_namespace}/pods/one", _is_running)

    namespace = node_namespace.rpartition("/")[2]
    assert (
        kube_node.kube.kubectl("exec", "-n", namespace, "one", "--", "echo", "hello") == "hello\n"
    )


async def test_deleted_pod_leaves_no_container(
    node_api: KubeClient, node_namespace: str, kube_node: NodeForTests
) -> None:
    await node_api.create(f"{node_namespace}/pods", _pod("import time; time.sleep(600)"))
    running = await node_api.wait_for(f"{node_namespace}/pods/one", _is_running)
    container = _container(running)["containerID"].removeprefix("containerd://")
    assert container in kube_node.place.containers()

    await node_api.delete(f"{node_namespace}/pods/one", gracePeriodSeconds="1")
    await node_api.wait_until_gone(f"{node_namespace}/pods/one")
    assert container not in kube_node.place.containers()


async def test_pod_reaches_the_api_server_by_its_service(
    node_api: KubeClient, node_namespace: str
) -> None:
    script = (
        "import os, ssl, urllib.request as u\n"
        "d = '/var/run/secrets/kubernetes.io/serviceaccount/'\n"
        "a = 'https://' + os.environ['KUBERNETES_SERVICE_HOST']\n"
        "t = {'Authorization': 'Bearer ' + open(d + 'token').read()}\n"
        "c = ssl.create_default_context(cafile=d + 'ca.crt')\n"
        "print(u.urlopen(u.Request(a + '/version', headers=t), context=c, timeout=20).read().decode())"
    )
    await node_api.create(f"{node_namespace}/pods", _pod(script))
    ended = await node_api.wait_for(f"{node_namespace}/pods/one", _has_ended)
    output = await node_api.log(f"{node_namespace}/pods/one")

    assert ended["status"]["phase"] == "Succeeded", output
    assert json.loads(output)["minor"] == "36"


async def test_pod_reaches_a_server_of_the_test(
    node_api: KubeClient, node_namespace: str, kube_node: NodeForTests
) -> None:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"welcome")
        writer.close()

    machine = kube_node.place.network.machine
    async with await asyncio.start_server(answer, machine, 0) as server:
        port = server.sockets[0].getsockname()[1]
        script = f"import socket; print(socket.create_connection(('{machine}', {port})).recv(9))"
        await node_api.create(f"{node_namespace}/pods", _pod(script))
        await node_api.wait_for(f"{node_namespace}/pods/one", _has_ended)
    assert await node_api.log(f"{node_namespace}/pods/one") == "b'welcome'\n"


async def test_test_reaches_a_server_of_a_pod(node_api: KubeClient, node_namespace: str) -> None:
    script = (
        "import socket\n"
        "server = socket.create_server(('', 8000))\n"
        "print('listens', flush=True)\n"
        "while True: server.accept()[0].send(b'welcome')"
    )
    await node_api.create(f"{node_namespace}/pods", _pod(script))
    pod = await node_api.wait_for(f"{node_namespace}/pods/one", _is_running)

    async def listens() -> bool:
        return await node_api.log(f"{node_namespace}/pods/one") != ""

    await wait_until(listens, "the pod listens")
    reader, writer = await asyncio.open_connection(pod["status"]["podIP"], 8000)
    assert await reader.readexactly(7) == b"welcome"
    writer.close()
    await writer.wait_closed()


async def test_node_without_heartbeats_is_not_ready_until_it_returns(
    node_api: KubeClient, kube_node: NodeForTests
) -> None:
    path = f"/api/v1/nodes/{nodes.NAME}"
    with kube_node.kubelet.held_up():
        await node_api.wait_for(path, lambda it: _ready(it) == "Unknown", within=60)
    await node_api.wait_for(path, lambda it: _ready(it) == "True")


def _ready(of: Json) -> str:
    return next(str(one["status"]) for one in of["status"]["conditions"] if one["type"] == "Ready")


def _pod(script: str) -> dict[str, Any]:
    main = {"name": "main", "image": images.TASK_IMAGE, "command": ["python3", "-c", script]}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "one"},
        "spec": {"containers": [main], "restartPolicy": "Never"},
    }


def _container(pod: Json) -> Json:
    statuses = pod["status"].get("containerStatuses") or [{}]
    return dict(statuses[0])


def _is_running(pod: Json) -> bool:
    return "running" in _container(pod).get("state", {})


def _has_ended(pod: Json) -> bool:
    return pod["status"]["phase"] in {"Succeeded", "Failed"}
