"""
Compose the environment of a task's main container from layers, each variable once.

    defaults < the task's own < its secrets < the run's < the system's

The system's come first in the list: ``$(NAME)`` refers to earlier variables.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from dataplane.agent.kube.objects import Object
from dataplane.agent.runtimes.environment import Endpoint, system_variables
from dataplane.agent.runtimes.kubernetes.pods.settings import ProxyAccess
from dataplane.agent.runtimes.kubernetes.proxy_environment import proxy_environment
from shared.model.assignments import Assignment

_USUAL = {"PYTHONUNBUFFERED": "1"}  # log lines are flushed when written
_REFERENCE = re.compile(r"\$(?=[$(])")


def literal(text: str) -> str:
    """
    Escape ``text`` so that Kubernetes, which expands ``$(NAME)`` and ``$$``, keeps it
    verbatim.
    """
    return _REFERENCE.sub("$$", text)


def variables(values: Mapping[str, str]) -> list[dict[str, Any]]:
    return [{"name": name, "value": literal(value)} for name, value in values.items()]


def compose_environment(
    own: Iterable[Object], run: Mapping[str, str], system: Mapping[str, str]
) -> list[Object]:
    """Merge the layers of variables; of ``own`` the last value of a name wins, in order."""
    composed: dict[str, Object] = {entry["name"]: entry for entry in variables(system)}
    layers = [*variables(_USUAL), *own, *variables(run)]
    below = {entry["name"]: entry for entry in layers}
    for name, entry in below.items():
        composed.setdefault(name, entry)
    return list(composed.values())


def pod_variables(assignment: Assignment, proxy: ProxyAccess) -> dict[str, str]:
    """
    Return the variables for the SDK in a pod: its action's identifiers, and the API proxy's
    address.
    """
    endpoint = Endpoint(address=proxy.address, insecure=False)
    return {**system_variables(assignment, endpoint), **proxy_environment(proxy.address)}
