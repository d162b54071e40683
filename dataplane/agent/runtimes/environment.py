"""Environment variables and argument placeholders of tasks, for all runtimes."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from shared.model.assignments import Assignment

ATTEMPT_VARIABLE = "VOLARY_ATTEMPT"
"""Identifies an attempt's processes, even those that left its session."""

TRACE_VARIABLE = "TRACEPARENT"

_PLACEHOLDER = re.compile(r"\{\{\s*\.(\w+)\s*\}\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Address of the control plane's public API, as tasks reach it."""

    address: str  # host:port
    insecure: bool
    ca_file: str = ""  # "": the system's CAs


def system_variables(assignment: Assignment, endpoint: Endpoint) -> dict[str, str]:
    """Return the environment variables that the SDK reads in a task's process."""
    run = assignment.key.run
    return {
        "_U_ORG_NAME": assignment.org,
        "FLYTE_INTERNAL_EXECUTION_PROJECT": run.project,
        "FLYTE_INTERNAL_EXECUTION_DOMAIN": run.domain,
        "RUN_NAME": run.name,
        "ACTION_NAME": assignment.key.name,
        "FLYTE_ATTEMPT_NUMBER": str(assignment.attempt.number - 1),  # the SDK counts from 0
        "_U_RUN_BASE": assignment.run_base,
        "_U_EP_OVERRIDE": endpoint.address,
        "_U_INSECURE": "true" if endpoint.insecure else "false",
        "_U_USE_ACTIONS": "1",
        "DO_NOT_TRACK": "1",
        ATTEMPT_VARIABLE: str(assignment.attempt),
        **trace_variables(assignment),
    }


def trace_variables(assignment: Assignment) -> dict[str, str]:
    """Return the variable by which OpenTelemetry in a task joins the trace of its run."""
    return {TRACE_VARIABLE: assignment.traceparent} if assignment.traceparent else {}


def substitute(
    args: Sequence[str], assignment: Assignment, *, quote: Callable[[str], str] = str
) -> list[str]:
    """Replace the SDK's placeholders in a task's arguments; unknown ones are left as they are."""
    previous = assignment.previous_output_prefix
    values = {
        "input": assignment.input_uri,
        "inputPrefix": assignment.input_uri.rpartition("/")[0],
        "outputPrefix": assignment.output_prefix,
        # The SDK takes a file: URI here for a path below its working directory.
        "rawOutputDataPrefix": assignment.raw_data_prefix.removeprefix("file://"),
        "checkpointOutputPrefix": _checkpoint(assignment.output_prefix),
        "prevCheckpointPrefix": _checkpoint(previous) if previous else "",
        "perRetryUniqueKey": str(assignment.attempt),
        "runName": assignment.key.run.name,
        "actionName": assignment.key.name,
        "runStartTime": assignment.run_started_at.isoformat(),
    }
    by_name = {name.lower(): value for name, value in values.items()}

    def fill(found: re.Match[str]) -> str:
        value = by_name.get(found[1].lower())
        return found[0] if value is None else quote(value)

    return [_PLACEHOLDER.sub(fill, arg) for arg in args]


def _checkpoint(prefix: str) -> str:
    return f"{prefix}/_flytecheckpoints"
