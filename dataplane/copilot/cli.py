"""
Command line ``volary-copilot``: parses arguments, runs a program, exits with its code.

Uses argparse, which needs no import beyond the standard library; each command imports its
modules lazily. The process exits without finalising the interpreter, so that neither a
thread that waits for a dead store nor a library's exit handler delays the exit or changes
its code.
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
    options = make_parser().parse_args(arguments)
    if options.command == "ready":
        from dataplane.copilot.readiness import handles_sigterm  # noqa: PLC0415

        return 0 if handles_sigterm() else 1
    from dataplane.copilot.errors import HandoffError  # noqa: PLC0415 - after --help
    from dataplane.copilot.handoff import load_handoff, parse_handoff  # noqa: PLC0415
    from shared.kit import logs  # noqa: PLC0415

    logs.configure(level=options.log_level, json_lines=options.log_json)
    try:
        if options.handoff is None:
            handoff = parse_handoff(os.environ.get(HANDOFF_VARIABLE, "").encode())
        else:
            handoff = load_handoff(options.handoff)
        os.umask(0o022)  # the task may run as any user, and has to read its inputs
        from dataplane.copilot import main as programs  # noqa: PLC0415

        programs_by_name = {"download": programs.run_download, "sidecar": programs.run_sidecar}
        return programs_by_name[options.command](handoff)
    except HandoffError as error:
        sys.stderr.write(f"volary-copilot: {error}\n")
        return error.exit_code


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="volary-copilot", description="Moves a raw container's inputs and outputs."
    )
    parser.add_argument("command", choices=["download", "ready", "sidecar"])
    parser.add_argument(
        "--handoff",
        type=Path,
        metavar="FILE",
        help=f"JSON file that describes the transfers; default: the variable {HANDOFF_VARIABLE}",
    )
    parser.add_argument("--log-level", choices=_LEVELS, default="info")
    parser.add_argument("--log-json", action="store_true", help="log one JSON object per line")
    return parser
