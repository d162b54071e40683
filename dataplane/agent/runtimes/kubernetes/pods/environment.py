"""
The variables of a task's main container, in layers, each once.

    usual ones < the task's own < its secrets < the run's < the system's

The system's come first in the list: ``$(NAME)`` refers to what stands before it.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from dataplane.agent.kube.objects import Object
from dataplane.agent.runtimes.environment import Endpoint, system_variables
from dataplane.agent.runtimes.kubernetes.pods.settings import ProxyAccess
from dataplane.agent.runtimes.kubernetes.proxy_environment import proxy_environment
from shared.model.assignments import Assignment

_USUAL = {"PYTHONUNBUFFERED": "1"}  # a line is in the log when it is written
_REFERENCE = re.compile(r"\$(?=[$(])")


def literal(text: str) -> str:
    """Return ``text`` so that Kubernetes, which expands ``$(NAME)`` and ``$$``, leaves it."""
    return _REFERENCE.sub("$$", text)


def variables(values: Mapping[str, str]) -> list[dict[str, Any]]:
    return [{"name": name, "value": literal(value)} for name, value in values.items()]


def compose_environment(
    own: Iterable[Object], run: Mapping[str, str], system: Mapping[str, str]
) -> list[Object]:
    """Lay the variables over each other; ``own`` in order, the later one of a name winning."""
    composed: dict[str, Object] = {entry["name"]: entry for entry in variables(system)}
    layers = [*variables(_USUAL), *own, *variables(run)]
    below = {entry["name"]: entry for entry in layers}
    for name, entry in below.items():
        composed.setdefault(name, entry)
    return list(composed.values())


def pod_variables(assignment: Assignment, proxy: ProxyAccess) -> dict[str, str]:
    """Return what the SDK in a pod is told: where its action is, and how to enter the door."""
    endpoint = Endpoint(address=proxy.address, insecure=False)
    return {**system_variables(assignment, endpoint), **proxy_environment(proxy.address)}
