"""
Interface of a task type: the resource to create, and the meaning of its status.

A plugin does no I/O and keeps no state: both functions may be called any number of times, by
this agent or by the next. Creating, watching and deleting the resource, reading error.pb and
outputs, logs, timeouts, aborts and retries are the runtime's.
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
    """Progress of a resource; the names follow flyteidl2's phases."""

    QUEUED = auto()  # not scheduled yet
    INITIALIZING = auto()  # scheduled: images, volumes, init containers
    RUNNING = auto()
    SUCCEEDED = auto()  # as the resource reports; error.pb and outputs are read afterwards
    FAILED = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """The state that a resource's status shows at one moment."""

    stage: Stage
    reason: str = ""  # machine-readable: "Unschedulable", "ImagePullBackOff", …
    message: str = ""  # the same for people
    # With FAILED, always; with SUCCEEDED, the failure to report if its outputs do not prove
    # success.
    failure: Failure | None = None
    observe_again_at: datetime | None = None  # time alone will change the answer, at that instant
    log_pods: Sequence[str] | None = None  # names, main one first; None: all of the attempt's


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservationContext:
    """Inputs of an observation besides the resource itself."""

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

        Raises BadSpecError, with a message for the task's author, if it cannot be built.
        """

    def observe(self, job: Job, resource: Object, around: ObservationContext) -> Observation:
        """Return the meaning of the resource's status; never raises for an unknown status."""
