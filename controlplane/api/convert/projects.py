"""Converts projects to flyteidl2's messages and back."""

from collections.abc import Mapping, Sequence

from flyteidl2.project.project_service_pb2 import Domain as DomainMessage, Project as ProjectMessage
from flyteidl2.task.run_pb2 import Labels

from controlplane.api.convert.strings import parse_text
from controlplane.core import names
from controlplane.core.domains import Domain
from controlplane.core.errors import InvalidError
from controlplane.core.projects import Project, ProjectRow, ProjectState
from shared.model.ids import OrgName

_MAX_LABELS = 64


def parse_project(message: ProjectMessage) -> Project:
    if message.domains:
        raise InvalidError("project.domains: must be empty; every project has the org's domains")
    project = names.parse_project(message.id)
    return Project(
        id=project,
        name=parse_text(message.name, "project.name", most=255) or project,
        description=parse_text(message.description, "project.description"),
        labels=_parse_labels(message.labels.values),
        state=_parse_state(message.state),
    )


def render_project(org: OrgName, row: ProjectRow, domains: Sequence[Domain]) -> ProjectMessage:
    project = row.project
    return ProjectMessage(
        id=project.id,
        name=project.name,
        description=project.description,
        labels=Labels(values=project.labels),
        state=project.state.value,
        org=org,
        domains=[DomainMessage(id=each.id, name=each.name) for each in domains],
    )


def _parse_labels(labels: Mapping[str, str]) -> dict[str, str]:
    if len(labels) > _MAX_LABELS:
        raise InvalidError(f"project.labels: at most {_MAX_LABELS}, not {len(labels)}")
    return {
        parse_text(key, "project.labels"): parse_text(value, f"project.labels.{key}")
        for key, value in labels.items()
    }


def _parse_state(number: int) -> ProjectState:
    try:
        state = ProjectState(number)
    except ValueError as error:
        raise InvalidError(f"project.state: {number} is not known") from error
    if state is ProjectState.UNKNOWN:
        raise InvalidError(f"project.state: {number} is not known")
    return state
