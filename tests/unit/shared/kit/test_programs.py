"""A program ends when a signal asks it to, after it has stopped."""

import gc
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from shared.kit.programs import run_until_signalled

ROOT = Path(__file__).parents[4]


def test_program_exception_is_unwrapped() -> None:
    async def wrapped() -> None:
        raise BaseExceptionGroup("of one", [ExceptionGroup("of one", [KeyError("lone")])])

    with pytest.raises(KeyError, match="lone"):
        run_until_signalled(wrapped())


def test_program_that_ends_returns() -> None:
    async def brief() -> None: ...

    run_until_signalled(brief())


def test_running_program_leaves_its_imports_to_no_garbage_collection() -> None:
    kept: list[int] = []

    async def brief() -> None:
        kept.append(gc.get_freeze_count())

    try:
        run_until_signalled(brief())
    finally:
        gc.unfreeze()
    assert kept[0] > 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_program_signal_cancels_it(number: signal.Signals) -> None:
    text = (
        "import asyncio\n"
        "from shared.kit.programs import run_until_signalled\n"
        "async def program():\n"
        "    try:\n"
        "        print('up', flush=True)\n"
        "        await asyncio.Event().wait()\n"
        "    finally:\n"
        "        print('tidied up', flush=True)\n"
        "run_until_signalled(program())\n"
        "print('returned', flush=True)\n"
    )
    with subprocess.Popen(  # noqa: S603
        [sys.executable, "-c", text], stdout=subprocess.PIPE, cwd=ROOT, env={**os.environ}
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        process.send_signal(number)
        assert process.stdout.read() == b"tidied up\nreturned\n"
    assert process.returncode == 0


def test_program_second_signal_cancels_all_tasks() -> None:
    text = (
        "import asyncio\n"
        "from shared.kit.programs import run_until_signalled\n"
        "async def stubborn():\n"
        "    print('up', flush=True)\n"
        "    try:\n"
        "        await asyncio.Event().wait()\n"
        "    except asyncio.CancelledError:\n"
        "        print('not yet', flush=True)\n"
        "        await asyncio.Event().wait()\n"
        "async def program():\n"
        "    async with asyncio.TaskGroup() as group:\n"
        "        group.create_task(stubborn())\n"
        "run_until_signalled(program())\n"
        "print('returned', flush=True)\n"
    )
    with subprocess.Popen(  # noqa: S603
        [sys.executable, "-c", text], stdout=subprocess.PIPE, cwd=ROOT
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        process.send_signal(signal.SIGTERM)
        assert process.stdout.readline() == b"not yet\n"
        process.send_signal(signal.SIGTERM)
        assert process.stdout.read() == b"returned\n"
    assert process.returncode == 0
