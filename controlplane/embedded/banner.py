"""Prints the banner of ``volary up``: addresses, first commands and a warning."""

import shlex
import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TextIO

from shared.kit.secrets import SecretText

_PLAIN, _COMMAND, _WARNING = "", "cyan", "yellow"


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """Ways in of ``volary up --login``; the link is a credential, shown on purpose."""

    url: str
    owner_link: SecretText
    ca_file: Path
    flyte_config: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """Addresses and paths of a running ``volary up``."""

    http_port: int
    data_directory: Path
    database: str
    blobs: str
    login: Login | None = None
    has_console: bool = False  # whether the console's files are built

    @property
    def endpoint(self) -> str:
        # Not an IP address: the SDK would take its first label for the name of an org.
        return f"localhost:{self.http_port}"


def lines(stack: Stack) -> list[tuple[str, str]]:
    """Return the lines of the banner, each with its style on a terminal."""
    kind = "plaintext" if stack.login is None else f"TLS; authority {stack.login.ca_file}"
    return [
        (f"Volary {version('volary')} is up.  Ctrl-C stops it.", "bold green"),
        ("", _PLAIN),
        (f"  endpoint   {stack.endpoint}  ({kind})", _PLAIN),
        (f"  console    {_console(stack)}", _PLAIN),
        (f"  data       {stack.data_directory}", _PLAIN),
        (f"  database   {stack.database}", _PLAIN),
        (f"  blobs      {stack.blobs}", _PLAIN),
        ("", _PLAIN),
        *(_anonymous(stack) if stack.login is None else _with_logins(stack, stack.login)),
        ("", _PLAIN),
    ]


def _console(stack: Stack) -> str:
    if not stack.has_console:
        return "not built; `make console` builds it, and run pages are plain until then"
    scheme = "http" if stack.login is None else "https"
    return f"{scheme}://{stack.endpoint}/v2"


def _anonymous(stack: Stack) -> list[tuple[str, str]]:
    return [
        ("  Run a first workflow:", _PLAIN),
        (f"    flyte --endpoint {stack.endpoint} --insecure run \\", _COMMAND),
        ("      --project flytesnacks --domain development --follow hello", _COMMAND),
        ("  Or save the endpoint in a config file, and omit it from then on:", _PLAIN),
        (f"    flyte create config --endpoint {stack.endpoint} --insecure \\", _COMMAND),
        ("      --project flytesnacks --domain development", _COMMAND),
        ("", _PLAIN),
        ("  ANONYMOUS: no logins; any program that reaches this port may do anything,", _WARNING),
        ("  so it accepts connections from this machine only. Do not forward the port.", _WARNING),
    ]


def _with_logins(stack: Stack, login: Login) -> list[tuple[str, str]]:
    ca_file = shlex.quote(str(login.ca_file))
    return [
        ("  1. Log in as the owner. The link works once, for 15 minutes:", _PLAIN),
        (f"    {login.owner_link.reveal()}", _COMMAND),
        (f"  The browser warns of the made-up authority; trust {login.ca_file}", _PLAIN),
        ("  2. Run a workflow; a browser asks you to allow it:", _PLAIN),
        (f"    export SSL_CERT_FILE={ca_file}", _COMMAND),
        (f"    flyte --config {shlex.quote(str(login.flyte_config))} run --follow hello", _COMMAND),
        ("  3. Log in the volary command, for API keys, members and clusters:", _PLAIN),
        (f"    volary login {login.url} --ca-file {ca_file}", _COMMAND),
        ("  Another link, to come back without an identity provider:", _PLAIN),
        (f"    volary owner-link --data-dir {shlex.quote(str(stack.data_directory))}", _COMMAND),
    ]


def show(stack: Stack, stream: TextIO = sys.stdout) -> None:
    """Print the banner, in colours on a terminal; no frame, so that commands copy cleanly."""
    if stream.isatty():
        from rich.console import Console  # noqa: PLC0415 - not needed for a pipe

        console = Console(file=stream, highlight=False, soft_wrap=True)
        for line, style in lines(stack):
            console.print(line, style=style or None, markup=False)
    else:
        stream.writelines(f"{line}\n" for line, _ in lines(stack))
        stream.flush()
