"""
Fields that filters and orders of each list may name, and the fields of the RPC that they stand for.

The names are FlyteAdmin's (``execution_created_at``, ``duration`` in seconds) as well as flyteidl2's.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from controlplane.core.errors import InvalidError
from controlplane.core.lists import Filter
from controlplane.core.run_states import RunState, parse_state
from shared.model.phases import Phase

_LABEL = "labels."
_PHASES = [phase.name for phase in Phase if phase is not Phase.UNKNOWN]
_MAX_SECONDS = Decimal(10) ** 12
_IS_ARCHIVED = {RunState.ACTIVE: "false", RunState.ARCHIVED: "true"}


@dataclass(frozen=True, slots=True)
class ListField:
    """A field of an RPC's list; ``convert`` makes its value of the one that the caller wrote."""

    name: str
    convert: Callable[[str], str] = str


@dataclass(frozen=True, slots=True)
class ListFields:
    """The fields of one kind of list, by the names that callers use."""

    kind: str
    named: Mapping[str, ListField]
    has_labels: bool = False

    def find(self, name: str) -> ListField:
        """Return the field; InvalidError lists the known ones."""
        found = self.named.get(name)
        if found is not None:
            return found
        if self.has_labels and name.startswith(_LABEL) and name != _LABEL:
            return ListField(name)
        labels = " and labels.<key>" if self.has_labels else ""
        raise InvalidError(
            f"{self.kind} have no field {name!r}; there are {', '.join(self.named)}{labels}"
        )

    def translate(self, asked: Filter) -> Filter:
        """Return the filter with the RPC's name and values."""
        field = self.find(asked.field)
        return Filter(field.name, asked.test, [field.convert(value) for value in asked.values])


def _phase(value: str) -> str:
    name = value.upper().removeprefix("ACTION_PHASE_")
    if name not in _PHASES:
        raise InvalidError(f"phase: {value!r} is not known; there are {', '.join(_PHASES)}")
    return name


def _is_archived(state: str) -> str:
    return _IS_ARCHIVED[parse_state(state)]


def _milliseconds(value: str) -> str:
    try:
        seconds = Decimal(value)
    except InvalidOperation as error:
        raise InvalidError(f"duration: {value!r} is not a number of seconds") from error
    if not seconds.is_finite() or abs(seconds) > _MAX_SECONDS:
        raise InvalidError(f"duration: {value!r} is out of range")
    return str(int(seconds * 1000))


def _same(*names: str) -> dict[str, ListField]:
    return {name: ListField(name) for name in names}


_OF_ACTIONS = {
    "phase": ListField("phase", _phase),
    "duration": ListField("duration_ms", _milliseconds),
    "task.name": ListField("task_name"),
    "task.version": ListField("task_version"),
    **_same(
        "started_at",
        "ended_at",
        "created_at",
        "updated_at",
        "duration_ms",
        "task_name",
        "task_version",
        "task_type",
        "short_name",
        "environment_name",
        "function_name",
    ),
}

RUNS = ListFields(
    "runs",
    {
        "name": ListField("run_name"),
        "execution_created_at": ListField("created_at"),
        "execution_updated_at": ListField("updated_at"),
        "workflow.name": ListField("task_name"),
        "workflow.version": ListField("task_version"),
        "launch_plan.name": ListField("trigger_name"),
        "trigger.name": ListField("trigger_name"),
        "trigger.task": ListField("trigger_task_name"),
        "trigger.revision": ListField("trigger_revision"),
        "state": ListField("archived", _is_archived),
        **_OF_ACTIONS,
        **_same("project", "domain", "run_name", "run_source", "created_by"),
        **_same("relation_type", "related_to", "archived"),
    },
    has_labels=True,
)
ACTIONS = ListFields(
    "actions",
    {
        "node_id": ListField("name"),
        "node_execution_created_at": ListField("created_at"),
        "node_execution_updated_at": ListField("updated_at"),
        **_OF_ACTIONS,
        **_same("name", "parent_name", "group", "action_type"),
    },
)
TASKS = ListFields(
    "tasks",
    _same(
        "project",
        "domain",
        "name",
        "version",
        "created_at",
        "deployed_at",
        "deployed_by",
        "short_name",
        "task_type",
        "environment_name",
        "function_name",
        "is_entrypoint",
    ),
)
TRIGGERS = ListFields(
    "triggers",
    _same(
        "project",
        "domain",
        "task_name",
        "task_version",
        "name",
        "active",
        "automation_type",
        "deployed_at",
        "updated_at",
    ),
)
REVISIONS = ListFields("revisions", _same("revision", "action", "deployed_at", "updated_at"))
PROJECTS = ListFields(
    "projects",
    _same("id", "identifier", "name", "description", "state", "created_at", "updated_at"),
)
