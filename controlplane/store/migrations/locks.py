"""
Estimates which tables a step locks, from the SQL that it would run.

An estimate, for an operator who decides when to upgrade: the form of each statement says the lock
(https://www.postgresql.org/docs/current/explicit-locking.html). Tables that a step creates are
left out, because no other program waits for them.
"""

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass

from alembic import command
from alembic.config import Config

from controlplane.core.schema_steps import Step

_NAME = r'(?:ONLY\s+)?(?:IF\s+(?:NOT\s+)?EXISTS\s+)?"?(?:public\.)?(?P<table>\w+)"?'
_ON = r'[\s\S]*?\sON\s+(?:ONLY\s+)?"?(?:public\.)?(?P<table>\w+)"?'
_EXCLUSIVE, _WRITERS, _NONE = (
    "ACCESS EXCLUSIVE: readers and writers wait",
    "SHARE: writers wait",
    "SHARE UPDATE EXCLUSIVE: reads and writes go on",
)
# The first form that matches counts.
_FORMS = tuple(
    (re.compile(form, re.IGNORECASE), lock)
    for form, lock in (
        (rf"CREATE\s+(UNIQUE\s+)?INDEX\s+CONCURRENTLY{_ON}", _NONE),
        (rf"CREATE\s+(UNIQUE\s+)?INDEX{_ON}", _WRITERS),
        (rf"CREATE\s+TRIGGER{_ON}", "SHARE ROW EXCLUSIVE: writers wait"),
        (rf"ALTER\s+TABLE\s+{_NAME}\s+VALIDATE", _NONE),
        (rf"ALTER\s+TABLE\s+{_NAME}", _EXCLUSIVE),
        (rf"(CREATE|ALTER|DROP)\s+POLICY{_ON}", _EXCLUSIVE),
        (rf"DROP\s+TABLE\s+{_NAME}", _EXCLUSIVE),
        (rf"DROP\s+TRIGGER{_ON}", _EXCLUSIVE),
        (
            rf"(UPDATE|DELETE\s+FROM|INSERT\s+INTO)\s+{_NAME}",
            "ROW EXCLUSIVE: writers of a row wait",
        ),
    )
)
_CREATED = re.compile(rf"CREATE\s+(?:UNLOGGED\s+)?TABLE\s+{_NAME}", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Lock:
    """A lock of one step on a table that exists."""

    step: Step
    table: str
    mode: str


def write_sql(config: Config, before: str, after: str) -> str:
    """Write what an upgrade from one revision ("base": none) to another would run."""
    written = io.StringIO()
    config.output_buffer = written
    command.upgrade(config, f"{before or 'base'}:{after}", sql=True)
    return written.getvalue()


def find_locks(step: Step, sql: str) -> Sequence[Lock]:
    """List the locks of one step's SQL, each once, in the order of its statements."""
    created = {found["table"] for found in _CREATED.finditer(sql)}
    locks: dict[Lock, None] = {}
    for statement in _split(sql):
        for form, mode in _FORMS:
            found = form.match(statement)
            if found is None:
                continue
            if found["table"] not in created and found["table"] != "alembic_version":
                locks[Lock(step, found["table"], mode)] = None
            break
    return list(locks)


def _split(sql: str) -> Sequence[str]:
    """Split SQL into statements; the body of a function or a DO block counts as none."""
    without_bodies = re.sub(r"\$(\w*)\$[\s\S]*?\$\1\$", "", sql)
    without_comments = re.sub(r"--[^\n]*", "", without_bodies)
    return [each.strip() for each in without_comments.split(";") if each.strip()]
