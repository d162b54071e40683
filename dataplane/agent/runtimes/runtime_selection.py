"""Which runtime runs which task."""

from collections.abc import AsyncIterator, Callable, Collection, Sequence
from dataclasses import dataclass

from dataplane.agent.core.messages import LogChunk
from dataplane.agent.runtimes.features import NEEDED_BY_TYPE
from dataplane.agent.runtimes.inline import ECHO, SLEEP
from dataplane.agent.runtimes.protocol import Job, NoLogError, Runtime
from dataplane.agent.runtimes.tasks import Task
from shared.model.ids import AttemptId

ENTRY_POINT = "a0"
INLINE = frozenset({SLEEP, ECHO})
PROCESS_CAPABILITIES = ("python", "actor", "python-task", *sorted(INLINE))


@dataclass(frozen=True, slots=True)
class RuntimeOption:
    suits: Callable[[Job], bool]
    runtime: Runtime


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtimes:
    """All that one agent has: the first that suits a task runs it."""

    choices: Sequence[RuntimeOption]
    unsupported: Runtime
    capabilities: Sequence[str]  # task types, for the control plane; "*" for any pod
    found: Callable[[], Collection[str]] = tuple  # more of them, which come and go

    def choose(self, job: Job) -> Runtime:
        for choice in self.choices:
            if choice.suits(job):
                return choice.runtime
        return self.unsupported

    def list_capabilities(self) -> Sequence[str]:
        return sorted({*self.capabilities, *self.found()})

    def needs_process(self, task_type: str) -> bool:
        return task_type not in INLINE


@dataclass(frozen=True, slots=True)
class Logs:
    """The logs of several runtimes, for whoever does not know which of them ran an attempt."""

    runtimes: Sequence[Runtime]

    async def follow(self, attempt: AttemptId, after_line: int) -> AsyncIterator[LogChunk]:
        """As a runtime's; NoLogError if none of them has it."""
        for runtime in self.runtimes:
            began = False
            try:
                async for chunk in runtime.follow(attempt, after_line):
                    began = True
                    yield chunk
            except NoLogError:
                if began:
                    raise  # the rest of it is gone; nobody else has another rest
                continue
            return
        raise NoLogError(f"this agent has no log of attempt {attempt}, or has it no longer")


def is_inline(job: Job) -> bool:
    return job.task.type in INLINE


def starts_with_sdk(task: Task) -> bool:
    """Whether the SDK's own entry point is what is started; it tells how the task ended."""
    return task.container is not None and list(task.container.args[:1]) == [ENTRY_POINT]


def suits_process(task: Task) -> bool:
    """
    Whether the process runtime can run it: what the SDK itself starts, it can.

    Not what is a cluster of processes (Dask, Ray, …), though the SDK starts each of them.
    """
    return starts_with_sdk(task) and task.type not in NEEDED_BY_TYPE
