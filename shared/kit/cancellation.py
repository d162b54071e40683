"""Works around Python before 3.13, whose TaskGroup can lose a cancellation."""

import asyncio


def check_cancellation() -> None:
    """
    Raise CancelledError if this task was cancelled but the cancellation was lost.

    Call it where a task continues after its task group has failed. When a child fails at the
    moment in which the task is cancelled, a TaskGroup of Python before 3.13 raises the
    child's error only; a loop that handles that as one more failure would run for ever.

    Use it only after a group that was waiting in its body. A group that waits at its end is
    interrupted by a cancellation when a child fails, which those Pythons never uncancel: the
    task would count as cancelled here for the rest of its life.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
