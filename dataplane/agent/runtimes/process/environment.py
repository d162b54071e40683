"""
Composes the environment of a task's process.

In order of increasing precedence: a small base inherited from the agent, the task's
variables, the run's variables, and the system variables, so that no task can pretend to be
another action. Nothing else of the agent's environment reaches a task, in particular not
the agent's token.
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from dataplane.agent.runtimes.api_environment import api_environment
from dataplane.agent.runtimes.environment import Endpoint, system_variables
from dataplane.agent.runtimes.process.directory import AttemptDirectory
from dataplane.agent.runtimes.protocol import Job

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


def inherited(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of ``environ`` that every task inherits, and the runtime's defaults."""
    base = {
        name: value
        for name, value in environ.items()
        if name in _INHERITED or name.startswith(_INHERITED_FAMILIES)
    }
    programs = str(Path(sys.executable).parent)
    base["PATH"] = os.pathsep.join([programs, environ.get("PATH", os.defpath)])
    base["PYTHONUNBUFFERED"] = "1"  # lines reach the log when they are written
    # A file:// store has no subdirectories until they are used. Set in the base, because
    # fsspec reads it once, at import, and a forked task has fsspec imported already.
    base["FSSPEC_FILE_AUTO_MKDIR"] = "1"
    return base


def compose_environment(
    job: Job,
    base: Mapping[str, str],
    endpoint: Endpoint,
    directory: AttemptDirectory,
    secrets: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """
    Return the complete environment of the attempt's process.

    ``secrets`` are the task's variables. For an API with TLS the attempt's ``directory`` has the
    access token and the SDK's configuration, beside which the SDK keeps a cache of uploads. Without
    TLS there must be none: with any configuration the SDK calls over TLS.
    """
    container = job.task.container
    api: Mapping[str, str] = {}
    if not endpoint.insecure:
        api = api_environment(
            endpoint.address,
            ca_file=endpoint.ca_file,
            token_file=str(directory.token),
            config_file=str(directory.sdk_config),
        )
    return {
        **base,
        **({} if container is None else container.env),
        **(secrets or {}),
        **job.run.env,
        **system_variables(job.assignment, endpoint),
        **api,
    }
