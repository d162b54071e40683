"""
Measures with ``auto_explain`` how many rows each statement of the store examines.

The rows that a plan examined are those that its nodes returned, or read and dropped, in all
their loops. That is the cost of a statement, independent of the load of the machine.
"""

import importlib
import json
import pkgutil
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import asyncpg
from sqlalchemy import TextClause, event, text
from sqlalchemy.dialects.postgresql.asyncpg import dialect

import controlplane.store
from controlplane.store.database import Database

_SETTINGS = {
    "session_preload_libraries": "auto_explain",
    "auto_explain.log_min_duration": "0",
    "auto_explain.log_analyze": "on",
    "auto_explain.log_timing": "off",
    "auto_explain.log_format": "json",
    "auto_explain.log_level": "notice",
    "auto_explain.log_parameter_max_length": "0",
}
_DROPPED = (
    "Rows Removed by Filter",
    "Rows Removed by Join Filter",
    "Rows Removed by Index Recheck",
)
_ON_SETS = re.compile(r"unnest\(|ANY\(")

Node = Mapping[str, Any]


async def explain_everything(superuser_url: str, database: str) -> None:
    """Enable auto_explain: new connections to this database send each plan as a notice."""
    superuser = await asyncpg.connect(superuser_url)
    for name, value in _SETTINGS.items():
        await superuser.execute(f"ALTER DATABASE \"{database}\" SET {name} = '{value}'")
    await superuser.close()


def set_statements() -> Mapping[str, str]:
    """Map the SQL of each statement on a set in the store to its ``module.attribute`` name."""
    packages = pkgutil.walk_packages(controlplane.store.__path__, "controlplane.store.")
    modules = [
        importlib.import_module(info.name)
        for info in packages
        if not info.ispkg and ".migrations." not in info.name
    ]
    return statements_of(*modules, only=_ON_SETS)


def statements_of(
    *modules: ModuleType, only: re.Pattern[str] = re.compile("")
) -> Mapping[str, str]:
    """Map the SQL of each statement of these modules to its ``module.attribute`` name."""
    found: dict[str, str] = {}
    for module in modules:
        for attribute, value in vars(module).items():
            if isinstance(value, TextClause) and only.search(value.text):
                compiled = value.compile(dialect=dialect())  # type: ignore[no-untyped-call]
                name = f"{module.__name__.rpartition('.')[2]}.{attribute}"
                found.setdefault(_squeeze(str(compiled)), name)
    return found


@dataclass(slots=True)
class Examined:
    """The rows examined by statements on sets: the maximum over the executions of each."""

    rows: dict[str, int] = field(default_factory=dict)
    plans: dict[str, str] = field(default_factory=dict)
    _names: Mapping[str, str] = field(default_factory=set_statements)

    def forget(self) -> None:
        self.rows.clear()
        self.plans.clear()

    def name_of(self, query: str) -> str | None:
        """Return the name under which a statement is recorded; None if it is not."""
        return self._names.get(_squeeze(query))

    def take(self, notification: str) -> None:
        """Record a notice; it is ignored unless it is the plan of a statement on a set."""
        _, is_plan, reported = notification.partition("plan:\n")
        if not is_plan:
            return
        explained = json.loads(reported)
        name = self.name_of(explained["Query Text"])
        if name is None:
            return
        plan = explained["Plan"]
        rows = round(_examined(plan))
        if rows >= self.rows.get(name, 0):
            self.rows[name] = rows
            self.plans[name] = "\n".join(_outline(plan))


@contextmanager
def examining(database: Database, seen: Examined | None = None) -> Iterator[Examined]:
    """Record the rows examined by the connections that ``database`` opens from here on."""
    seen = seen or Examined()
    engines = [each.sync_engine for each in (database._orgs, database._fleet)]  # not public

    def listen(connection: Any, _record: object) -> None:
        connection.driver_connection.add_log_listener(
            lambda _, reported: seen.take(reported.message)
        )

    for engine in engines:
        event.listen(engine, "connect", listen)
    try:
        yield seen
    finally:
        for engine in engines:
            event.remove(engine, "connect", listen)


@contextmanager
def counting_statements(database: Database) -> Iterator[list[str]]:
    """Collect the statements that ``database`` executes on orgs' rows; each is a round trip."""
    executed: list[str] = []
    engine = database._orgs.sync_engine  # there is no public access

    def listen(*arguments: Any) -> None:
        executed.append(arguments[2])  # connection, cursor, statement, parameters, …

    event.listen(engine, "before_cursor_execute", listen)
    try:
        yield executed
    finally:
        event.remove(engine, "before_cursor_execute", listen)


async def examined_rows(connection: Any, query: TextClause, values: Mapping[str, object]) -> int:
    """Execute one statement, and return how many rows it examined."""
    explained = text(f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {query.text}").bindparams(
        *query._bindparams.values()  # there is no public access
    )
    plan = (await connection.execute(explained, values)).scalar_one()[0]["Plan"]
    return round(_examined(plan))


def _squeeze(sql: str) -> str:
    return " ".join(sql.split())


def _dropped(node: Node) -> float:
    return sum(float(node.get(each, 0)) for each in _DROPPED)


def _examined(node: Node) -> float:
    own = (float(node["Actual Rows"]) + _dropped(node)) * float(node["Actual Loops"])
    return own + sum(_examined(each) for each in node.get("Plans", ()))


def _outline(node: Node, depth: int = 0) -> Iterator[str]:
    what = " ".join(
        str(node[key]) for key in ("Node Type", "Relation Name", "Index Name") if key in node
    )
    rows = f"({node['Actual Rows']} + {_dropped(node)} dropped) x {node['Actual Loops']}"
    yield f"{'  ' * depth}{what}: {rows}"
    for each in node.get("Plans", ()):
        yield from _outline(each, depth + 1)
