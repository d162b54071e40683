"""
``volary-copilot``: parse arguments, call ``main``, leave with its exit code.

Argparse, because it is there; a command imports what it needs once it is known. The
program leaves without finalising the interpreter: a thread that waits for a dead store
holds nobody up, and no library's farewell changes the exit code.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

HANDOFF_VARIABLE = "VOLARY_COPILOT_HANDOFF"
_LEVELS = ("debug", "info", "warning", "error")


def main() -> NoReturn:
    code = run(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def run(arguments: Sequence[str]) -> int:
    options = _parser().parse_args(arguments)
    if options.command == "ready":
        from dataplane.copilot.readiness import hears_sigterm  # noqa: PLC0415

        return 0 if hears_sigterm() else 1
    from dataplane.copilot.errors import HandoffError  # noqa: PLC0415 - after --help
    from dataplane.copilot.handoff import load_handoff, parse_handoff  # noqa: PLC0415
    from shared.kit import logs  # noqa: PLC0415

    logs.configure(level=options.log_level, json_lines=options.log_json)
    try:
        if options.handoff is None:
            last_reported = parse_handoff(os.environ.get(HANDOFF_VARIABLE, "").encode())
        else:
            last_reported = load_handoff(options.handoff)
        os.umask(0o022)  # the task, whoever it runs as, has to read what is brought
        from dataplane.copilot import main as programs  # noqa: PLC0415

        programs_by_name = {"download": programs.run_download, "sidecar": programs.run_sidecar}
        return programs_by_name[options.command](last_reported)
    except HandoffError as error:
        sys.stderr.write(f"volary-copilot: {error}\n")
        return error.exit_code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="volary-copilot", description="Moves a raw container's inputs and outputs."
    )
    parser.add_argument("command", choices=["download", "ready", "sidecar"])
    parser.add_argument(
        "--handoff",
        type=Path,
        metavar="FILE",
        help=f"what to move, and where links come from; without it {HANDOFF_VARIABLE} has it",
    )
    parser.add_argument("--log-level", choices=_LEVELS, default="info")
    parser.add_argument("--log-json", action="store_true", help="log a JSON object a line")
    return parser
