"""
Build a task's pod, as the SDK needs it: functions of a job and a cluster's settings, no I/O.

``templates`` builds it, ``settings`` holds a cluster's options. A pod is merged from layers,
the later one winning (``merging``):

    our defaults < the named PodTemplate < the task's pod_spec or container < the run < the system

The system's layer cannot be overridden: the action's identity, and access to the API proxy. A
pod that cannot be built is a BadSpecError that names the field and the remedy.
"""

from dataplane.agent.runtimes.kubernetes.pods.choices import Choices, ChoicesError, parse_choices
from dataplane.agent.runtimes.kubernetes.pods.inputs import needs_inputs, with_inputs
from dataplane.agent.runtimes.kubernetes.pods.replicas import Replica
from dataplane.agent.runtimes.kubernetes.pods.security import Security
from dataplane.agent.runtimes.kubernetes.pods.settings import (
    Accelerator,
    Copilot,
    Fence,
    Placement,
    ProxyAccess,
)
from dataplane.agent.runtimes.kubernetes.pods.task_layer import primary_name
from dataplane.agent.runtimes.kubernetes.pods.templates import PodTemplates

__all__ = [
    "Accelerator",
    "Choices",
    "ChoicesError",
    "Copilot",
    "Fence",
    "Placement",
    "PodTemplates",
    "ProxyAccess",
    "Replica",
    "Security",
    "needs_inputs",
    "parse_choices",
    "primary_name",
    "with_inputs",
]
