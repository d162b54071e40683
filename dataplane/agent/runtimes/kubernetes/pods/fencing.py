"""
The kubelet as fence: a container of a replaceable attempt lives while the door says so.

The door answers 200 while the agent's contact with the control plane is fresh, 503 after it,
nobody answers when agent and node have lost each other. Either way the kubelet kills.
"""

from typing import Any

from dataplane.agent.core.entrance import FENCE_PATH
from dataplane.agent.kube.objects import Object
from dataplane.agent.runtimes.kubernetes.pods.settings import Fence
from dataplane.agent.runtimes.tasks import BadSpecError


def put_up(containers: list[dict[str, Any]], fence: Fence) -> list[dict[str, Any]]:
    return [{**container, "livenessProbe": _probe(container, fence)} for container in containers]


def _probe(container: Object, fence: Fence) -> dict[str, Any]:
    if container.get("livenessProbe"):
        raise BadSpecError(
            f"container {container['name']} has a livenessProbe, and so has the fence of a task"
            " that may be replaced when its cluster is cut off; leave it out, or let the task's"
            " disconnect policy be to keep it"
        )
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
        "terminationGracePeriodSeconds": int(fence.grace.total_seconds()),
    }
