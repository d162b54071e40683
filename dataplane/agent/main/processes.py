"""Runs the agent on one machine: attempts are processes, the ledger is a SQLite file."""

import asyncio
import fcntl
import os
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path

from dataplane.agent.core.capacity import default_slots
from dataplane.agent.ledger.ledger import Ledger
from dataplane.agent.link.attempt_tokens import AttemptTokens
from dataplane.agent.link.identity_file import IdentityFile
from dataplane.agent.link.secrets import SecretsClient
from dataplane.agent.loops.sweeper import Sweeper
from dataplane.agent.main.checks import Checks
from dataplane.agent.main.identity import open_credential, with_endpoint
from dataplane.agent.main.services import run_services
from dataplane.agent.runtimes.blobs import Stores
from dataplane.agent.runtimes.environment import Endpoint
from dataplane.agent.runtimes.inline import InlineRuntime
from dataplane.agent.runtimes.machine import FreeMemory, read_total_memory
from dataplane.agent.runtimes.process import trust
from dataplane.agent.runtimes.process.environment import inherited
from dataplane.agent.runtimes.process.runtime import ProcessRuntime
from dataplane.agent.runtimes.process.spawner import Spawner
from dataplane.agent.runtimes.runtime_selection import (
    PROCESS_CAPABILITIES,
    RuntimeOption,
    Runtimes,
    is_inline,
    is_python_task,
)
from dataplane.agent.runtimes.secrets import TaskSecrets
from dataplane.agent.runtimes.unsupported import PROCESS, UnsupportedRuntime
from dataplane.agent.secret_managers.choice import open_reader
from dataplane.agent.settings import ProcessSettings, Settings
from shared.kit.clock import SystemClock
from shared.kit.settings import SettingsError
from shared.secrets.key_pairs import open_private_keys
from shared.secrets.keyrings import KeyFileError, PrivateKey


class DataDirectoryError(SettingsError):
    """The data directory cannot be used; the message names the remedy."""


async def run_processes(
    settings: Settings, runtime_settings: ProcessSettings, checks: Checks
) -> None:
    clock = SystemClock()
    base = inherited(os.environ)
    with _lock(runtime_settings.data_dir):
        keys = _open_keys(runtime_settings.data_dir / "secrets-key.pem")
        store = IdentityFile(runtime_settings.data_dir / "identity.json")
        credential = await open_credential(settings, store, clock)
        settings = with_endpoint(settings, credential)
        trusting = _trusting(settings, runtime_settings, base)
        base |= trusting
        outside = await asyncio.to_thread(open_reader, settings.secret_manager)
        async with Ledger.open(runtime_settings.data_dir / "ledger.sqlite3") as ledger:
            stores = Stores(clock)
            spawner = Spawner(base, runtime_settings.data_dir, clock, warm=runtime_settings.warm)
            process = ProcessRuntime(
                root=runtime_settings.data_dir / "attempts",
                spawner=spawner,
                stores=stores,
                base=base,
                endpoint=Endpoint(
                    address=settings.public_endpoint,
                    insecure=settings.public_insecure,
                    ca_file=str(settings.api_ca_file.resolve()) if settings.api_ca_file else "",
                ),
                grace=settings.grace,
                clock=clock,
                secrets=TaskSecrets(
                    SecretsClient(settings.control_plane, credential, settings.ca_file),
                    keys,
                    outside,
                ),
                find_token=AttemptTokens(
                    settings.control_plane, credential, settings.ca_file, clock
                ).find,
            )
            await process.kill_unheld(ledger.active)
            runtimes = Runtimes(
                choices=[
                    RuntimeOption(is_inline, InlineRuntime(stores, clock)),
                    RuntimeOption(lambda job: is_python_task(job.task), process),
                ],
                unsupported=UnsupportedRuntime(PROCESS),
                capabilities=PROCESS_CAPABILITIES,
            )
            sweeper = Sweeper(ledger, process, clock, retention=settings.retention)
            await run_services(
                settings,
                clock,
                credential=credential,
                ledger=ledger,
                runtimes=runtimes,
                check=partial(checks, settings, clock),
                slots=settings.slots or default_slots(read_total_memory()),
                logs=process,
                fenced=process,
                free_memory=FreeMemory(clock),
                secrets_key=keys[0].public.der,
                take_along=settings.grace + timedelta(seconds=10)
                if runtime_settings.stop_attempts
                else None,
                also={
                    "spawner": spawner.run,
                    "sweeper": sweeper.run,
                    "api tokens": process.tokens.run,
                    **({"secret manager": outside.run} if outside else {}),
                    **_keep_trusting(settings, trusting),
                },
            )


def _trusting(
    settings: Settings, runtime_settings: ProcessSettings, base: Mapping[str, str]
) -> Mapping[str, str]:
    """Return the variable by which tasks trust the API's own authority; one that is set stays."""
    ca_file = settings.api_ca_file
    if settings.public_insecure or ca_file is None or trust.VARIABLE in base:
        return {}
    try:
        bundle = trust.write_bundle(ca_file, runtime_settings.data_dir / "authorities.pem")
    except (OSError, UnicodeDecodeError) as error:
        raise DataDirectoryError(
            f"the CA file {ca_file} cannot be copied to {runtime_settings.data_dir}: {error}; check"
            " --public-ca-file and --data-dir"
        ) from error
    return {} if bundle is None else {trust.VARIABLE: str(bundle.resolve())}


def _keep_trusting(
    settings: Settings, trusting: Mapping[str, str]
) -> Mapping[str, Callable[[], Coroutine[None, None, None]]]:
    """Return the loop that keeps the bundle up to date, if there is one."""
    if settings.api_ca_file is None or not trusting:
        return {}
    bundle = Path(trusting[trust.VARIABLE])
    return {"trusted authorities": partial(trust.keep_bundle, settings.api_ca_file, bundle)}


def _open_keys(path: Path) -> Sequence[PrivateKey]:
    try:
        return open_private_keys(path)
    except KeyFileError as error:
        raise DataDirectoryError(str(error)) from error


@contextmanager
def _lock(directory: Path) -> Iterator[None]:
    """Lock the data directory against a second agent; DataDirectoryError if that fails."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(directory / "agent.lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise DataDirectoryError(
            f"{directory} cannot be used: {error.strerror}; give a directory this user may "
            "write to with --data-dir"
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise DataDirectoryError(
            f"another agent uses {directory}; stop it, or give another --data-dir"
        ) from error
    finally:
        os.close(descriptor)
