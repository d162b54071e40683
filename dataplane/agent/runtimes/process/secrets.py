"""
Secrets of local processes: variables, and private files below the attempt's directory.

A local process cannot have files of its own in ``/etc/flyte/secrets``: they lie in a directory
named by ``FLYTE_SECRETS_DEFAULT_DIR``, and the attempt's log says so.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dataplane.agent.runtimes import secrets
from dataplane.agent.runtimes.protocol import Job
from dataplane.agent.runtimes.secrets import (
    DIRECTORY,
    MAX_VARIABLE_BYTES,
    SecretRequest,
    TaskSecrets,
)
from shared.kit.secrets import SecretBytes

DIRECTORY_VARIABLE = "FLYTE_SECRETS_DEFAULT_DIR"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessSecrets:
    """An attempt's secrets: variables, files by path below its directory, lines for its log."""

    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    files: Mapping[str, SecretBytes] = field(default_factory=dict)
    notes: Sequence[str] = ()


async def resolve(
    job: Job, task_secrets: TaskSecrets, directory: Path, stop: asyncio.Event
) -> ProcessSecrets:
    """
    Return the attempt's secrets; ``directory`` is where its files will be.

    SecretError; BadSpecError for requests that cannot be met. The group is a part of names
    only: there are no Kubernetes Secrets here that it could name.
    """
    requests = secrets.read_requests(job.task.template.security_context.secrets)
    found = await task_secrets.find(job.assignment, [each.key for each in requests], stop)
    task_secrets.require_all(job.assignment, requests, found)
    files = {path: found[each.key] for each in requests for path in each.paths}
    env = {
        each.variable: secrets.as_variable(each, found[each.key], most=MAX_VARIABLE_BYTES)
        for each in requests
        if each.variable
    }
    if files:
        env[DIRECTORY_VARIABLE] = str(directory)
    return ProcessSecrets(env=env, files=files, notes=_describe(requests, directory))


def _describe(requests: Sequence[SecretRequest], directory: Path) -> Sequence[str]:
    return [
        f"secret {each.key} is the file {directory / each.paths[0]}: a local process has no "
        f"{DIRECTORY} of its own; read the directory from {DIRECTORY_VARIABLE}"
        for each in requests
        if each.paths
    ]
