"""Reads secrets as variables and as files, and tells only their digests."""

import hashlib
import os
import stat
import time
from pathlib import Path

import flyte

MOUNT = Path("/etc/flyte/secrets")

plain = flyte.TaskEnvironment(
    "secretive", secrets=["My-Key", flyte.Secret("My-Key", as_env_var="T")]
)
filed = flyte.TaskEnvironment("secretive_filed", secrets=[flyte.Secret("My-Key", mount=MOUNT)])
binary = flyte.TaskEnvironment("secretive_binary", secrets=[flyte.Secret("raw", mount=MOUNT)])
spoiled = flyte.TaskEnvironment("secretive_spoiled", secrets=["raw"])
fleeting = flyte.TaskEnvironment("secretive_fleeting", secrets=["fleeting"])
absent = flyte.TaskEnvironment("secretive_absent", secrets=["nowhere-to-be-found"])


def _digest(value: bytes) -> str:
    return hashlib.sha256(value).hexdigest()


@plain.task
def as_variables() -> str:
    assert os.environ["MY_KEY"] == os.environ["T"]
    return _digest(os.environ["MY_KEY"].encode())


@filed.task
def as_file() -> str:
    assert "MY_KEY" not in os.environ
    directory = Path(os.environ["FLYTE_SECRETS_DEFAULT_DIR"])
    path = directory / "my-key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert (directory / "My-Key").read_bytes() == path.read_bytes()
    return _digest(path.read_bytes())


@filed.task
def as_mounted_file() -> str:
    """Read the file where the task has asked for it: in a pod of its own."""
    assert "MY_KEY" not in os.environ
    assert (MOUNT / "My-Key").read_bytes() == (MOUNT / "my-key").read_bytes()
    return _digest((MOUNT / "my-key").read_bytes())


@binary.task
def as_binary_file() -> str:
    return _digest((Path(os.environ["FLYTE_SECRETS_DEFAULT_DIR"]) / "raw").read_bytes())


@spoiled.task
def as_spoiled_variable() -> str:
    return _digest(os.environ["RAW"].encode())


@absent.task(retries=3)
def without() -> str:
    return os.environ["NOWHERE_TO_BE_FOUND"]


@fleeting.task(retries=3)
def until(started: str, gate: str) -> None:
    """Keep the value while its secret is deleted, and fail, so that another attempt needs it."""
    value = os.environ["FLEETING"]
    Path(started).touch()
    while not Path(gate).exists():
        time.sleep(0.05)
    raise RuntimeError(f"still {os.environ['FLEETING'] == value}")
