"""
What a task's process is started with: its environment and its arguments.

The task's own variables, then the run's, lie over a small inherited base; what tells the
SDK where it is lies over all, so that nobody can pretend to be another action. Nothing
else of the agent's environment reaches a task, above all not its token.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dataplane.agent.runtimes.protocol import Job
from shared.model.assignments import Assignment

ATTEMPT_VARIABLE = "VOLARY_ATTEMPT"
"""Marks an attempt's processes, wherever they have gone."""

_INHERITED = frozenset(
    [
        "HOME",
        "USER",
        "LOGNAME",
        "SHELL",
        "LANG",
        "LANGUAGE",
        "TZ",
        "TMPDIR",
        "LD_LIBRARY_PATH",
        "VIRTUAL_ENV",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        "REQUESTS_CA_BUNDLE",
        "CURL_CA_BUNDLE",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "NO_PROXY",
        "ALL_PROXY",
        "http_proxy",
        "https_proxy",
        "no_proxy",
        "all_proxy",
        "GOOGLE_APPLICATION_CREDENTIALS",
        "CUDA_VISIBLE_DEVICES",
        "NVIDIA_VISIBLE_DEVICES",
    ]
)
_INHERITED_FAMILIES = ("LC_", "AWS_", "FLYTE_AWS_", "AZURE_", "FLYTE_STORAGE_")


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where tasks find the control plane's public API."""

    address: str  # host:port
    insecure: bool


def inherited(environ: Mapping[str, str]) -> dict[str, str]:
    """Return what every task inherits of ``environ``: the base below the task's own."""
    base = {
        name: value
        for name, value in environ.items()
        if name in _INHERITED or name.startswith(_INHERITED_FAMILIES)
    }
    programs = str(Path(sys.executable).parent)
    base["PATH"] = os.pathsep.join([programs, environ.get("PATH", os.defpath)])
    base["PYTHONUNBUFFERED"] = "1"  # a line is in the log when it is written
    # A directory as store has no directories until used. In the base already, because fsspec
    # reads it once, at import, and a forked task has it imported.
    base["FSSPEC_FILE_AUTO_MKDIR"] = "1"
    return base


def compose_environment(job: Job, base: Mapping[str, str], endpoint: Endpoint) -> dict[str, str]:
    """Return the whole environment of the attempt's process."""
    container = job.task.container
    return {
        **base,
        **({} if container is None else container.env),
        **job.run.env,
        **system_variables(job.assignment, endpoint),
    }


def system_variables(assignment: Assignment, endpoint: Endpoint) -> dict[str, str]:
    """Return what the SDK in the process asks of its surroundings."""
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
    }


def substitute(args: Sequence[str], assignment: Assignment) -> list[str]:
    """Fill in the placeholders that the SDK leaves in a task's arguments."""
    previous = assignment.previous_output_prefix
    values = {
        "{{.input}}": assignment.input_uri,
        "{{.outputPrefix}}": assignment.output_prefix,
        # The SDK takes a file: URI here for a path below its working directory.
        "{{.rawOutputDataPrefix}}": assignment.raw_data_prefix.removeprefix("file://"),
        "{{.checkpointOutputPrefix}}": _checkpoint(assignment.output_prefix),
        "{{.prevCheckpointPrefix}}": _checkpoint(previous) if previous else "",
        "{{.runName}}": assignment.key.run.name,
        "{{.actionName}}": assignment.key.name,
        "{{.runStartTime}}": assignment.run_started_at.isoformat(),
    }
    filled = []
    for arg in args:
        text = arg
        for placeholder, value in values.items():
            text = text.replace(placeholder, value)
        filled.append(text)
    return filled


def _checkpoint(prefix: str) -> str:
    return f"{prefix}/_flytecheckpoints"
