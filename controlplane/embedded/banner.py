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


def text(stack: Stack) -> str:
    return f"""\
Volary {version("volary")} is up.  Ctrl-C stops it.

  endpoint   {stack.endpoint}  (plaintext)
  data       {stack.data_directory}
  database   {stack.database}
  blobs      {stack.blobs}

  run a workflow:
    flyte --endpoint {stack.endpoint} --insecure run \\
      --project flytesnacks --domain development --follow examples/hello.py main --name you
  or write the endpoint down once, and leave it out after that:
    flyte create config --endpoint {stack.endpoint} --insecure \\
      --project flytesnacks --domain development

  ANONYMOUS: nobody logs in, and whoever reaches this port may do anything, so it
  answers this machine only. Do not forward it.
"""


def show(stack: Stack, stream: TextIO = sys.stdout) -> None:
    """Print it, framed on a terminal and plain in a pipe."""
    if stream.isatty():
        from rich.console import Console  # noqa: PLC0415 - a pipe needs none of it
        from rich.panel import Panel  # noqa: PLC0415

        console = Console(file=stream, highlight=False)
        console.print(Panel(text(stack).rstrip(), expand=False, border_style="green"))
    else:
        stream.write(text(stack))
        stream.flush()
