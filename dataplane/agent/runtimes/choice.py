"""Which runtime runs which task."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from dataplane.agent.runtimes.inline import ECHO, SLEEP
from dataplane.agent.runtimes.protocol import Runtime
from dataplane.agent.runtimes.tasks import Task

ENTRY_POINT = "a0"
INLINE = frozenset({SLEEP, ECHO})


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtimes:
    """All that one agent has; ``main`` is the one that its cluster is named for."""

    inline: Runtime
    main: Runtime
    suits_main: Callable[[Task], bool]
    by_type: Mapping[str, Runtime] = field(default_factory=dict)
    unsupported: Runtime
    capabilities: Sequence[str]  # task types, for the control plane

    def choose(self, task: Task) -> Runtime:
        """Return the runtime for the task: by its type, else the main one if it suits."""
        if task.type in INLINE:
            return self.inline
        if task.type in self.by_type:
            return self.by_type[task.type]
        return self.main if self.suits_main(task) else self.unsupported

    def needs_process(self, task_type: str) -> bool:
        return task_type not in INLINE


def suits_process(task: Task) -> bool:
    """Whether the process runtime can run it: what the SDK itself starts, it can."""
    return task.container is not None and list(task.container.args[:1]) == [ENTRY_POINT]


PROCESS_CAPABILITIES = ("python", "actor", "python-task", *sorted(INLINE))
