"""
Finds runs, tasks, triggers, clusters and projects by a part of their name.

Each statement examines a bounded number of rows, however many there are: the latest runs, and the first
names of the other kinds by the alphabet. A run's whole name is found however old the run is.
"""

from collections.abc import Sequence
from datetime import datetime

from controlplane.store.database import OrgTx
from controlplane.store.statements import only_one, statement
from shared.model.ids import ClusterName, DomainName, ProjectName

MOST_EXAMINED = 2_000
"""Rows of a kind, or names of tasks, that are compared with a text."""

_FOUND = "strpos(lower({0}), :text) > 0 ORDER BY strpos(lower({0}), :text) > 1"
_RUNS = statement(f"""
WITH latest AS MATERIALIZED (
    SELECT r.run, r.created_at FROM runs r
    WHERE r.org = :org AND r.project = :project AND r.domain = :domain
    ORDER BY r.org, r.project, r.domain, r.created_at DESC, r.run_id LIMIT {MOST_EXAMINED}
), found AS (
    (SELECT run, created_at FROM latest WHERE {_FOUND.format("run")}, created_at DESC LIMIT :most)
    UNION
    (SELECT r.run, r.created_at FROM runs r
     WHERE r.org = :org AND r.project = :project AND r.domain = :domain
       AND {only_one("r.run", ":text")})
)
SELECT run, created_at FROM found ORDER BY run <> :text, strpos(run, :text) > 1, created_at DESC
LIMIT :most
""")
# Each step reads one row of the primary key: a task has many versions.
_TASKS = statement(f"""
WITH RECURSIVE names AS (
    (SELECT t.name, 1 AS number FROM tasks t
     WHERE t.org = :org AND t.project = :project AND t.domain = :domain
     ORDER BY t.org, t.project, t.domain, t.name LIMIT 1)
    UNION ALL
    SELECT (SELECT t.name FROM tasks t
            WHERE t.org = :org AND t.project = :project AND t.domain = :domain AND t.name > n.name
            ORDER BY t.org, t.project, t.domain, t.name LIMIT 1), n.number + 1
    FROM names n WHERE n.name IS NOT NULL AND n.number < {MOST_EXAMINED}
)
SELECT name FROM names WHERE {_FOUND.format("name")}, name LIMIT :most
""")
_TRIGGERS = statement(f"""
WITH first AS MATERIALIZED (
    SELECT t.task_name AS task, t.name FROM triggers t
    WHERE t.org = :org AND t.project = :project AND t.domain = :domain AND t.deleted_at IS NULL
    LIMIT {MOST_EXAMINED}
)
SELECT task, name FROM first WHERE {_FOUND.format("name")}, name, task LIMIT :most
""")
_CLUSTERS = statement(f"""
WITH first AS MATERIALIZED (
    SELECT c.cluster FROM clusters c WHERE c.org = :org LIMIT {MOST_EXAMINED}
)
SELECT cluster FROM first WHERE {_FOUND.format("cluster")}, cluster LIMIT :most
""")
_PROJECTS = statement(f"""
WITH first AS MATERIALIZED (
    SELECT p.project, p.name FROM projects p WHERE p.org = :org LIMIT {MOST_EXAMINED}
)
SELECT project, name FROM first
WHERE strpos(lower(project), :text) > 0 OR strpos(lower(name), :text) > 0
ORDER BY strpos(lower(project), :text) <> 1, project LIMIT {MOST_EXAMINED}
""")


async def find_runs(
    tx: OrgTx, project: ProjectName, domain: DomainName, text: str, most: int
) -> Sequence[tuple[str, datetime]]:
    """Find runs by a part of their name in lower case, the latest first, with their creation."""
    values = {"project": project, "domain": domain, "text": text, "most": most}
    return [(row.run, row.created_at) for row in await tx.rows(_RUNS, values)]


async def find_tasks(
    tx: OrgTx, project: ProjectName, domain: DomainName, text: str, most: int
) -> Sequence[str]:
    values = {"project": project, "domain": domain, "text": text, "most": most}
    return [row.name for row in await tx.rows(_TASKS, values)]


async def find_triggers(
    tx: OrgTx, project: ProjectName, domain: DomainName, text: str, most: int
) -> Sequence[tuple[str, str]]:
    """Find triggers by a part of their own name; return their tasks' names and theirs."""
    values = {"project": project, "domain": domain, "text": text, "most": most}
    return [(row.task, row.name) for row in await tx.rows(_TRIGGERS, values)]


async def find_clusters(tx: OrgTx, text: str, most: int) -> Sequence[ClusterName]:
    rows = await tx.rows(_CLUSTERS, {"text": text, "most": most})
    return [ClusterName(row.cluster) for row in rows]


async def find_projects(tx: OrgTx, text: str) -> Sequence[tuple[ProjectName, str]]:
    """Find projects by a part of their id or name; return both."""
    return [
        (ProjectName(row.project), row.name) for row in await tx.rows(_PROJECTS, {"text": text})
    ]
