"""Selects the runtime that runs a task."""

from collections.abc import AsyncIterator, Callable, Collection, Sequence
from dataclasses import dataclass

from dataplane.agent.runtimes.features import NEEDED_BY_TYPE
from dataplane.agent.runtimes.inline import ECHO, SLEEP
from dataplane.agent.runtimes.protocol import Job, NoLogError, Runtime
from dataplane.agent.runtimes.tasks import Task
from shared.model.ids import AttemptId
from shared.model.logs import LogChunk

ENTRY_POINT = "a0"
INLINE = frozenset({SLEEP, ECHO})
PROCESS_CAPABILITIES = ("python", "actor", "python-task", *sorted(INLINE))


@dataclass(frozen=True, slots=True)
class RuntimeOption:
    """A runtime, and a predicate for the jobs that it can run."""

    suits: Callable[[Job], bool]
    runtime: Runtime


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtimes:
    """The runtimes of one agent, in order of preference; the first that suits a job runs it."""

    choices: Sequence[RuntimeOption]
    unsupported: Runtime
    capabilities: Sequence[str]  # task types, reported to the control plane; "*" for any pod
    found: Callable[[], Collection[str]] = tuple  # task types discovered at run time

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
    """Finds an attempt's log among the runtimes of an agent."""

    runtimes: Sequence[Runtime]

    async def follow(self, attempt: AttemptId, after_line: int) -> AsyncIterator[LogChunk]:
        """Follow the log of the runtime that has it; NoLogError if none has."""
        for runtime in self.runtimes:
            began = False
            try:
                async for chunk in runtime.follow(attempt, after_line):
                    began = True
                    yield chunk
            except NoLogError:
                if began:
                    raise  # deleted midway; no other runtime has the rest
                continue
            return
        raise NoLogError(f"this agent has no log of attempt {attempt}, or has deleted it")


def is_inline(job: Job) -> bool:
    return job.task.type in INLINE


def starts_with_sdk(task: Task) -> bool:
    """Whether the container runs the SDK's entry point, which writes outputs.pb or error.pb."""
    return task.container is not None and list(task.container.args[:1]) == [ENTRY_POINT]


def is_python_task(task: Task) -> bool:
    """
    Whether the task is one Python process: its container runs the SDK's entry point.

    The process runtime can run such a task. Tasks that are a cluster of processes (Dask, Ray,
    …) are excluded, although the SDK's entry point starts each of those.
    """
    return starts_with_sdk(task) and task.type not in NEEDED_BY_TYPE
