"""A wish to stop that a task group has drowned, heard all the same."""

import asyncio


def check_cancellation() -> None:
    """
    Raise CancelledError if this task has been cancelled and does not know it yet.

    Call it where a task goes on after its task group has failed. When a child fails in the
    very moment in which the task is cancelled, a group of Python before 3.13 raises the
    child's error alone; a loop that takes that for one more failure would run for ever.

    The group must have been waiting in its body. One that waits at its end is told of a
    failing child by a cancellation that those Pythons never take back, and would look
    cancelled here for the rest of its task's life.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
