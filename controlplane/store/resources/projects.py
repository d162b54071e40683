"""Creates, updates, finds and lists projects."""

from datetime import datetime
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert

from controlplane.core.callers import Scopes
from controlplane.core.lists import Listing
from controlplane.core.projects import Project, ProjectPage, ProjectRow, ProjectState
from controlplane.store.database import OrgTx
from controlplane.store.resources.filters import among, numbers, text_field, timestamp_field
from controlplane.store.resources.pages import Key, page
from controlplane.store.resources.scopes import within
from controlplane.store.rows import parse_enum
from controlplane.store.tables import projects
from shared.model.ids import ProjectName

_FIELDS = among({
    "id": text_field(projects.c.project),
    "identifier": text_field(projects.c.project),
    "name": text_field(projects.c.name),
    "description": text_field(projects.c.description),
    "state": numbers(projects.c.state),
    "created_at": timestamp_field(projects.c.created_at),
    "updated_at": timestamp_field(projects.c.updated_at),
})  # fmt: skip


async def create_project(tx: OrgTx, project: Project, *, now: datetime) -> bool:
    """Insert a project; False if its id is taken."""
    made = await tx.connection.execute(
        insert(projects)
        .values(
            org=tx.org,
            project=project.id,
            **_columns(project),
            created_at=now,
            updated_at=now,
        )
        .on_conflict_do_nothing()
        .returning(projects.c.project)
    )
    return made.first() is not None


async def update_project(tx: OrgTx, project: Project, *, now: datetime) -> bool:
    """Replace a project; False if it does not exist."""
    changed = await tx.connection.execute(
        update(projects)
        .where(projects.c.org == tx.org, projects.c.project == project.id)
        .values(**_columns(project), updated_at=now)
        .returning(projects.c.project)
    )
    return changed.first() is not None


async def find_project(tx: OrgTx, project: ProjectName) -> ProjectRow | None:
    found = await tx.connection.execute(
        select(projects).where(projects.c.org == tx.org, projects.c.project == project)
    )
    row = found.first()
    return None if row is None else _parse(row)


async def list_projects(
    tx: OrgTx, listing: Listing, *, hide_archived: bool, scopes: Scopes | None
) -> ProjectPage:
    """List the projects with a domain in ``scopes``, oldest first by default."""
    query = select(projects).where(projects.c.org == tx.org, within(scopes, projects.c.project))
    if hide_archived:
        query = query.where(projects.c.state != ProjectState.ARCHIVED.value)
    oldest = (Key(timestamp_field(projects.c.created_at)), Key(text_field(projects.c.project)))
    rows, token = await page(tx, query, _FIELDS, listing, oldest)
    return ProjectPage([_parse(row) for row in rows], token)


def _columns(project: Project) -> dict[str, Any]:
    return {
        "name": project.name,
        "description": project.description,
        "labels": dict(project.labels),
        "state": project.state.value,
    }


def _parse(row: Any) -> ProjectRow:
    return ProjectRow(
        project=Project(
            id=ProjectName(row.project),
            name=row.name,
            description=row.description,
            labels=row.labels,
            state=parse_enum(row.state, ProjectState.UNKNOWN),
        ),
        created_at=row.created_at,
    )
