"""
What a task type has to say about itself: which resource it is, and what its status means.

A plugin does no input or output and keeps no state: both functions may be called any number
of times, by this agent or by the next. Making, watching and removing the resource, reading
error.pb and outputs, logs, timeouts, aborts and retries are the runtime's.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from typing import Protocol

from dataplane.agent.kube.objects import Kind, Name, Object
from dataplane.agent.runtimes.kubernetes.pods import PodTemplates
from dataplane.agent.runtimes.protocol import Job
from shared.model.reports import Failure


class Stage(Enum):
    """How far a resource has come, as flyteidl2's phases have it."""

    QUEUED = auto()  # nobody has placed it yet
    INITIALIZING = auto()  # placed: images, volumes, init containers
    RUNNING = auto()
    SUCCEEDED = auto()  # its own word; error.pb and outputs are looked at afterwards
    FAILED = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What a resource's status says at one moment."""

    stage: Stage
    reason: str = ""  # machine-readable: "Unschedulable", "ImagePullBackOff", …
    message: str = ""  # the same for people
    # With FAILED, always; with SUCCEEDED, what to say if its outputs do not prove it right.
    failure: Failure | None = None
    observe_again_at: datetime | None = None  # time alone will change the answer, at that instant
    log_pods: Sequence[str] | None = None  # names, main one first; None: all of the attempt's


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservationContext:
    """What an observation may take into account besides the resource."""

    now: datetime
    pods: Collection[Object]  # all that carry the attempt's label
    events: Collection[Object]  # of these and of the resource, oldest first


class Plugin(Protocol):
    """One kind of resource, for one or more task types."""

    @property
    def task_types(self) -> Collection[str]: ...

    @property
    def kind(self) -> Kind: ...

    def build(self, job: Job, name: Name, pods: PodTemplates) -> Object:
        """
        Return the whole resource, called ``name``; the runtime adds owner and labels to it.

        BadSpecError, with a message for whoever wrote the task, if it cannot be built.
        """

    def observe(self, job: Job, resource: Object, around: ObservationContext) -> Observation:
        """Return what the resource's status means; never raises for a status not known."""
