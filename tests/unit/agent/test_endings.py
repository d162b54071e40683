"""Tests of the classification of endings, with a row for every way an attempt can end."""

import os
import signal
from dataclasses import replace
from itertools import product

import pytest

from dataplane.agent.core.endings import (
    AttemptArtifacts,
    Exit,
    KilledFor,
    TaskError,
    classify,
    cut_message,
)
from dataplane.agent.runtimes.process.shim import parse_wait_status
from shared.model.phases import Phase
from shared.model.reports import MAX_MESSAGE_BYTES, FailureKind

USER, SYSTEM = FailureKind.USER, FailureKind.SYSTEM


def make_error(kind: FailureKind = USER, *, recoverable: bool = True) -> TaskError:
    return TaskError(
        code="ValueError", message="no", kind=kind, recoverable=recoverable, uri="file:///error.pb"
    )


def make_artifacts(
    ended: Exit | None,
    *,
    error: TaskError | None = None,
    outputs_missing: bool = False,
    outputs_written: bool = False,
) -> AttemptArtifacts:
    return AttemptArtifacts(
        exit=ended,
        error=error,
        outputs_missing=outputs_missing,
        outputs_written=outputs_written,
        output_prefix="file:///out",
        last_lines=["the last line"],
        max_runtime_seconds=2.5,
        memory_limit=2**30,
    )


@pytest.mark.parametrize(
    ("artifacts", "phase", "code", "kind"),
    [
        (make_artifacts(Exit(code=0)), Phase.SUCCEEDED, None, None),
        (make_artifacts(Exit(code=0), error=make_error()), Phase.FAILED, "ValueError", USER),
        (make_artifacts(Exit(code=1), error=make_error()), Phase.FAILED, "ValueError", USER),
        (
            make_artifacts(Exit(code=0), error=make_error(SYSTEM)),
            Phase.FAILED,
            "ValueError",
            SYSTEM,
        ),
        (make_artifacts(Exit(code=0), outputs_missing=True), Phase.FAILED, "OutputsMissing", USER),
        (make_artifacts(Exit(code=3)), Phase.FAILED, "NonZeroExit", USER),
        (make_artifacts(Exit(signal=signal.SIGKILL)), Phase.FAILED, "Interrupted", SYSTEM),
        (make_artifacts(Exit(signal=signal.SIGTERM)), Phase.FAILED, "Interrupted", SYSTEM),
        (make_artifacts(Exit(signal=signal.SIGSEGV)), Phase.FAILED, "Crashed", USER),
        (
            make_artifacts(Exit(signal=signal.SIGTERM, killed_for=KilledFor.STOPPED)),
            Phase.ABORTED,
            None,
            None,
        ),
        (
            make_artifacts(Exit(code=0, killed_for=KilledFor.MAX_RUNTIME), error=make_error()),
            Phase.TIMED_OUT,
            "MAX_RUNTIME_EXCEEDED",
            USER,
        ),
        (
            make_artifacts(Exit(signal=signal.SIGKILL, killed_for=KilledFor.MEMORY)),
            Phase.FAILED,
            "OOMKilled",
            USER,
        ),
        (make_artifacts(None), Phase.FAILED, "ProcessLost", SYSTEM),
        (make_artifacts(None, outputs_written=True), Phase.SUCCEEDED, None, None),
        (make_artifacts(None, error=make_error()), Phase.FAILED, "ValueError", USER),
        (
            make_artifacts(Exit(code=0, killed_for=KilledFor.STOPPED), outputs_written=True),
            Phase.SUCCEEDED,
            None,
            None,
        ),
        (
            make_artifacts(Exit(code=0, killed_for=KilledFor.CUT_OFF), outputs_written=True),
            Phase.SUCCEEDED,
            None,
            None,
        ),
        (
            make_artifacts(Exit(code=0, killed_for=KilledFor.STOPPED)),
            Phase.ABORTED,
            None,
            None,
        ),
        (
            make_artifacts(Exit(signal=signal.SIGRTMIN + 2)),
            Phase.FAILED,
            "EndedBySignal",
            USER,
        ),
        (
            make_artifacts(Exit(signal=signal.SIGABRT), outputs_written=True),
            Phase.SUCCEEDED,
            None,
            None,
        ),
        (
            make_artifacts(Exit(signal=signal.SIGABRT), outputs_written=True, error=make_error()),
            Phase.FAILED,
            "ValueError",
            USER,
        ),
        (
            make_artifacts(Exit(signal=signal.SIGKILL), outputs_written=True),
            Phase.FAILED,
            "Interrupted",
            SYSTEM,
        ),
        (
            make_artifacts(
                Exit(signal=signal.SIGABRT, killed_for=KilledFor.STOPPED), outputs_written=True
            ),
            Phase.ABORTED,
            None,
            None,
        ),
    ],
    ids=[
        "well",
        "error",
        "error-and-exit",
        "system-error",
        "outputs-missing",
        "exit",
        "killed",
        "terminated",
        "crashed",
        "stopped",
        "timed-out",
        "memory",
        "lost",
        "lost-after-its-outputs",
        "lost-after-its-error",
        "stopped-when-done",
        "cut-off-when-done",
        "stopped-with-a-good-exit-and-no-outputs",
        "real-time-signal",
        "crashed-after-its-outputs",
        "crashed-after-its-outputs-and-error",
        "killed-after-its-outputs",
        "stopped-and-crashed-after-its-outputs",
    ],
)
def test_classify_covers_every_ending(
    artifacts: AttemptArtifacts, phase: Phase, code: str | None, kind: FailureKind | None
) -> None:
    judged, failure = classify(artifacts)

    assert judged is phase
    assert (failure and failure.code, failure and failure.kind) == (code, kind)


def test_classify_covers_every_wait_status() -> None:
    """All 65,536 of them, with and without each reason of the agent to kill."""
    for status, killed_for in product(range(2**16), [None, *KilledFor]):
        ended = parse_wait_status(status)
        phase, failure = classify(
            AttemptArtifacts(
                exit=Exit(
                    code=ended.code,
                    signal=ended.signal,
                    wait_status=ended.wait_status,
                    killed_for=killed_for,
                ),
                output_prefix="file:///out",
            )
        )
        assert phase is not Phase.SUCCEEDED or (os.WIFEXITED(status) and ended.code == 0)
        assert phase is Phase.FAILED or killed_for is not None or ended.code == 0
        assert failure is not None or phase in {Phase.SUCCEEDED, Phase.ABORTED}


def test_unknown_signal_is_user_failure_with_its_number() -> None:
    _, failure = classify(make_artifacts(parse_wait_status(signal.SIGRTMIN + 2)))

    assert failure is not None
    assert failure.kind is USER
    assert f"signal {signal.SIGRTMIN + 2} (SIGRTMIN+2)" in failure.message


def test_unrecoverable_error_is_not_retried() -> None:
    _, failure = classify(make_artifacts(Exit(code=0), error=make_error(recoverable=False)))

    assert failure is not None
    assert not failure.recoverable


def test_nonzero_exit_quotes_last_log_lines() -> None:
    _, failure = classify(make_artifacts(Exit(code=3)))

    assert failure is not None
    assert failure.message.endswith("Its last lines:\nthe last line")


def test_short_message_is_not_cut() -> None:
    assert cut_message("short", "file:///error.pb") == "short"


def test_long_message_is_cut_between_characters_and_names_full_uri() -> None:
    cut = cut_message("ä" * MAX_MESSAGE_BYTES, "file:///error.pb")

    assert len(cut.encode()) <= MAX_MESSAGE_BYTES
    assert cut.startswith("äää")
    assert cut.endswith(f"all {2 * MAX_MESSAGE_BYTES} bytes are in file:///error.pb")


@pytest.mark.parametrize("code", ["INVALID_ARGUMENT", "NOT_FOUND"])
def test_refused_child_action_is_not_retried(code: str) -> None:
    error = TaskError(
        code="RuntimeSystemError",
        message="Controller failed for action c1 (non-retryable RuntimeSystemError): "
        f"Action launch failed ({code}): the queue 'gpu' does not exist",
        kind=SYSTEM,
        recoverable=True,
        uri="file:///error.pb",
    )

    phase, failure = classify(make_artifacts(Exit(code=0), error=error))

    assert phase is Phase.FAILED
    assert failure is not None
    assert (failure.kind, failure.recoverable) == (USER, False)
    assert failure.message == error.message


def test_child_action_failed_for_now_is_retried() -> None:
    error = TaskError(
        code="RuntimeSystemError",
        message="Action launch failed (UNAVAILABLE): the database does not answer",
        kind=SYSTEM,
        recoverable=True,
        uri="file:///error.pb",
    )

    _, failure = classify(make_artifacts(Exit(code=0), error=error))

    assert failure is not None
    assert (failure.kind, failure.recoverable) == (SYSTEM, True)


@pytest.mark.parametrize(
    ("path", "code", "kind"),
    [
        ("/data/work/01a2-1/work/.bundle.part", "DiskFull", SYSTEM),
        ("/mnt/mine/model.bin", "ValueError", USER),
    ],
)
def test_full_disk_of_the_agent_is_a_failure_of_the_machine_and_no_other_disk(
    path: str, code: str, kind: FailureKind
) -> None:
    error = replace(make_error(), message=f"[Errno 28] No space left on device: '{path}'")
    artifacts = replace(make_artifacts(Exit(code=0), error=error), directory_name="01a2-1")
    phase, failure = classify(artifacts)
    assert failure is not None
    assert (phase, failure.code, failure.kind) == (Phase.FAILED, code, kind)
    assert path in failure.message


def test_disk_is_not_blamed_where_the_attempt_has_no_directory_on_it() -> None:
    error = replace(make_error(), message="[Errno 28] No space left on device: '/data/x'")
    _, failure = classify(make_artifacts(Exit(code=0), error=error))
    assert failure is not None
    assert failure.kind is USER
