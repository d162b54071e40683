"""Tasks that print: their output is their log."""

import asyncio
import os
import sys
from pathlib import Path

import flyte

env = flyte.TaskEnvironment(name="talking")


@env.task
async def main(lines: int) -> None:
    for number in range(lines):
        print(f"line {number}")
    print("to the side", file=sys.stderr)
    print("größer ✓ 漢字")


@env.task
async def odd() -> None:
    """Print what is no text, what has no end, and much too much of it."""
    sys.stdout.buffer.write(b"\xff\xfe broken bytes\n")
    sys.stdout.buffer.write(b"a\0b\n")
    sys.stdout.write("x" * 1_000_000 + "\n")
    sys.stdout.write("no newline at the end")
    sys.stdout.flush()


@env.task
async def copy_out(source: str) -> None:
    """Write what a file holds, as it grows, until it ends with the word "end"."""
    with Path(source).open(newline="") as file:
        text = ""
        while not text.endswith("end\n"):
            text = file.read()
            sys.stderr.write(text)
            sys.stderr.flush()
            await asyncio.sleep(0.05)


@env.task
async def until(gate: str) -> None:
    """Say one thing, wait for a gate, and say another."""
    print("before the gate", flush=True)
    while not Path(gate).exists():
        await asyncio.sleep(0.05)
    print(f"after the gate, attempt {os.environ['FLYTE_ATTEMPT_NUMBER']}", flush=True)
