"""
Add the fence probe: the kubelet kills a replaceable attempt when its agent is cut off.

The API proxy answers 200 while the agent's last acknowledged heartbeat is fresh, 503 after it;
no answer comes when agent and node have lost each other. In both cases the kubelet kills the
container.
"""

from typing import Any

from dataplane.agent.core.pod_identity import FENCE_PATH
from dataplane.agent.kube.objects import Object
from dataplane.agent.runtimes.kubernetes.pods.settings import Fence
from dataplane.agent.runtimes.tasks import BadSpecError


def put_up(containers: list[dict[str, Any]], fence: Fence) -> list[dict[str, Any]]:
    for container in containers:
        _require_no_probe(container)
    alive = _probe(fence)
    begun = {**alive, "periodSeconds": 1, "timeoutSeconds": 1}
    return [
        {**container, "livenessProbe": alive, "startupProbe": begun} for container in containers
    ]


def _require_no_probe(container: Object) -> None:
    for probe in ("livenessProbe", "startupProbe"):
        if container.get(probe):
            raise BadSpecError(
                f"container {container['name']} has a {probe}, and the agent adds one to stop a task"
                " that may be restarted elsewhere when its cluster is disconnected; leave it out, or set the"
                " task's disconnect policy to keep it"
            )


def _probe(fence: Fence) -> dict[str, Any]:
    return {
        "httpGet": {
            "host": fence.host,
            "port": fence.port,
            "path": FENCE_PATH,
            "scheme": "HTTPS",
        },
        "periodSeconds": int(fence.period.total_seconds()),
        "timeoutSeconds": int(fence.timeout.total_seconds()),
        "failureThreshold": fence.failures,
    }
