"""Prints the banner of ``volary up``: addresses, first commands and a warning."""

import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TextIO


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """Addresses and paths of a running ``volary up``."""

    http_port: int
    data_directory: Path
    database: str
    blobs: str

    @property
    def endpoint(self) -> str:
        # Not an IP address: the SDK would take its first label for the name of an org.
        return f"localhost:{self.http_port}"


def lines(stack: Stack) -> list[tuple[str, str]]:
    """Return the lines of the banner, each with its style on a terminal."""
    plain, command = "", "cyan"
    return [
        (f"Volary {version('volary')} is up.  Ctrl-C stops it.", "bold green"),
        ("", plain),
        (f"  endpoint   {stack.endpoint}  (plaintext)", plain),
        (f"  data       {stack.data_directory}", plain),
        (f"  database   {stack.database}", plain),
        (f"  blobs      {stack.blobs}", plain),
        ("", plain),
        ("  Run a first workflow:", plain),
        (f"    flyte --endpoint {stack.endpoint} --insecure run \\", command),
        ("      --project flytesnacks --domain development --follow hello", command),
        ("  Or save the endpoint in a config file, and omit it from then on:", plain),
        (f"    flyte create config --endpoint {stack.endpoint} --insecure \\", command),
        ("      --project flytesnacks --domain development", command),
        ("", plain),
        (
            "  ANONYMOUS: no logins; any program that reaches this port may do anything,",
            "yellow",
        ),
        ("  so it accepts connections from this machine only. Do not forward the port.", "yellow"),
        ("", plain),
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
