"""What ``volary up`` tells the person who started it."""

import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TextIO


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """What is up, as a person needs to know it."""

    http_port: int
    data_directory: Path
    database: str
    blobs: str

    @property
    def endpoint(self) -> str:
        # "localhost" and not an address: the SDK takes an org from the first label of others.
        return f"localhost:{self.http_port}"


def lines(stack: Stack) -> list[tuple[str, str]]:
    """List what to tell, line by line, each with the style it has on a terminal."""
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
        ("  Or write the endpoint down once, and leave it out after that:", plain),
        (f"    flyte create config --endpoint {stack.endpoint} --insecure \\", command),
        ("      --project flytesnacks --domain development", command),
        ("", plain),
        ("  ANONYMOUS: nobody logs in, and whoever reaches this port may do anything,", "yellow"),
        ("  so it answers this machine only. Do not forward it.", "yellow"),
        ("", plain),
    ]


def show(stack: Stack, stream: TextIO = sys.stdout) -> None:
    """Print it, in colours on a terminal; in no frame, because commands are there to copy."""
    if stream.isatty():
        from rich.console import Console  # noqa: PLC0415 - a pipe needs none of it

        console = Console(file=stream, highlight=False, soft_wrap=True)
        for line, style in lines(stack):
            console.print(line, style=style or None, markup=False)
    else:
        stream.writelines(f"{line}\n" for line, _ in lines(stack))
        stream.flush()
