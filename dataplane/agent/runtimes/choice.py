"""Which runtime runs which task."""

from dataclasses import dataclass

from dataplane.agent.runtimes.inline import ECHO, SLEEP
from dataplane.agent.runtimes.protocol import Runtime
from dataplane.agent.runtimes.tasks import Task

ENTRY_POINT = "a0"
_INLINE = frozenset({SLEEP, ECHO})

CAPABILITIES = ("python", "actor", "python-task", SLEEP, ECHO)
"""What a cluster with the process runtime says it can run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtimes:
    inline: Runtime
    process: Runtime
    unsupported: Runtime

    def choose(self, task: Task) -> Runtime:
        """Return the runtime for the task: by its type, else by its entry point."""
        if task.type in _INLINE:
            return self.inline
        if task.container is not None and list(task.container.args[:1]) == [ENTRY_POINT]:
            return self.process
        return self.unsupported

    def needs_process(self, task_type: str) -> bool:
        return task_type not in _INLINE
