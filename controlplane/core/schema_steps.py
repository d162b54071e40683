"""
Decides which releases may use which schemas, and which steps of an upgrade are safe to run.

A schema is named by its revision, as "0057": four digits, so that text sorts as numbers do. Each
revision is one step of three: an expand step only adds, a backfill only fills in, and a contract
step removes what programs of a schema before its ``requires`` still use.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class StepKind(StrEnum):
    """Kinds of revisions, as in their files' names."""

    EXPAND = "expand"
    BACKFILL = "backfill"
    CONTRACT = "contract"


@dataclass(frozen=True, slots=True)
class Step:
    """
    One revision of the schema.

    ``requires``, of a contract step: the oldest schema whose programs do not use what the step
    removes. "" for the other kinds, which leave every program working.
    """

    revision: str
    kind: StepKind
    subject: str
    requires: str = ""

    def __str__(self) -> str:
        return f"{self.revision} ({self.kind}: {self.subject})"


@dataclass(frozen=True, slots=True)
class Replica:
    """
    A control plane that is connected to the database.

    ``schema`` and ``release`` are "" for one of a release that does not report them yet.
    """

    address: str
    schema: str = ""
    release: str = ""

    def __str__(self) -> str:
        if not self.schema:
            return f"{self.address} (an earlier release, which does not report its schema)"
        return f"{self.address} (Volary {self.release}, schema {self.schema})"


@dataclass(frozen=True, slots=True)
class DatabaseSchema:
    """
    The schema that a database has.

    ``revision``: "" before the first upgrade. ``requires``: the largest of the contract steps that
    were run. ``release``: the Volary that ran the last step, "" if that is not recorded.
    """

    revision: str
    requires: str = ""
    release: str = ""


def pending_steps(steps: Sequence[Step], revision: str) -> Sequence[Step]:
    """Return the steps, of those in order, that a database at ``revision`` lacks."""
    return [step for step in steps if step.revision > revision]


def find_mismatch(steps: Sequence[Step], database: DatabaseSchema, *, release: str) -> str:
    """
    Return why a program of this release, with these steps, may not serve, and the remedy; or "".

    It serves on the schema of its release, on a newer one whose contract steps require no more
    than its own, and on an older one that lacks nothing but contract steps.
    """
    ours = steps[-1].revision
    us = f"this is Volary {release}, schema {ours}"
    if not database.revision:
        return f"the database has no schema, and {us}: run `volary db upgrade`"
    if database.requires > ours:
        by = f" by Volary {database.release}" if database.release else ""
        return (
            f"the database was upgraded to schema {database.revision}{by}, and a contract step has "
            f"removed what programs before schema {database.requires} use; {us}: start a release "
            f"whose schema is {database.requires} or newer"
        )
    missing = [
        step
        for step in pending_steps(steps, database.revision)
        if step.kind is not StepKind.CONTRACT
    ]
    if missing:
        return (
            f"the database has schema {database.revision}, and {us}, which needs "
            f"{len(missing)} more {'step' if len(missing) == 1 else 'steps'}, first {missing[0]}: "
            "run `volary db upgrade` of this release"
        )
    return ""


def find_unsafe_step(pending: Sequence[Step], replicas: Sequence[Replica]) -> str:
    """Return which contract step would break which replicas, and the remedy; or ""."""
    for step in pending:
        older = [each for each in replicas if each.schema < step.requires]
        if older:
            names = "; ".join(sorted(map(str, older)))
            return (
                f"step {step} would break replicas that use what it removes. "
                f"These have a schema before {step.requires}: {names}. Replace them with a release "
                f"whose schema is {step.requires} or newer, or stop them, and run `volary db "
                "upgrade` again; `volary db upgrade --until-contract` runs the steps before it"
            )
    return ""


def until_contract(pending: Sequence[Step]) -> Sequence[Step]:
    """Return the pending steps before the first contract step."""
    for position, step in enumerate(pending):
        if step.kind is StepKind.CONTRACT:
            return pending[:position]
    return pending
