"""Restricts queries to the projects and domains that a caller may read."""

from typing import Any

from sqlalchemy import ColumnElement, and_, false, or_, true

from controlplane.core.callers import Scopes


def within(scopes: Scopes | None, project: Any, domain: Any | None = None) -> ColumnElement[bool]:
    """
    Return the condition that a row lies in ``scopes``; None takes all rows.

    ``project`` and ``domain`` are its columns. Without ``domain``, the row belongs to a whole
    project, and a caller who may read one of its domains may read it.
    """
    if scopes is None:
        return true()
    if domain is None:
        return project.in_(sorted({project for project, _ in scopes})) if scopes else false()
    whole = sorted(project for project, domain in scopes if not domain)
    ways = [project.in_(whole)] if whole else []
    ways += [and_(project == p, domain == d) for p, d in sorted(scopes) if d]
    return or_(false(), *ways)
