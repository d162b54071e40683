"""Thread pool for work items that may return further work items."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Self

from dataplane.copilot.deadlines import Deadline

Work = Callable[[], "Sequence[Work]"]
"""A work item; returns further work items."""

_POLL_SECONDS = 0.5  # of the deadline, which a signal may shorten


class Pool:
    """Runs work items in threads: bodies are read and hashed without the GIL."""

    def __init__(self, parallel: int, deadline: Deadline) -> None:
        self._threads = ThreadPoolExecutor(parallel, thread_name_prefix="transfer")
        self._at_once = 2 * parallel
        self._deadline = deadline

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def run(self, works: Iterator[Work], doing: str) -> None:
        """
        Run all work items; raise the first error, and start none after it.

        ``works`` is consumed at most two items per thread ahead. DeadlineError if the deadline
        passes first.
        """
        done: SimpleQueue[Future[Sequence[Work]]] = SimpleQueue()
        begun: set[Future[Sequence[Work]]] = set()
        more: deque[Work] = deque()
        try:
            while True:
                while len(begun) < self._at_once:
                    work = more.popleft() if more else next(works, None)
                    if work is None:
                        break
                    future = self._threads.submit(work)
                    begun.add(future)
                    future.add_done_callback(done.put)
                if not begun:
                    return
                self._deadline.require(doing)
                try:
                    future = done.get(timeout=_POLL_SECONDS)
                except Empty:
                    continue
                begun.remove(future)
                more.extend(future.result())
        finally:
            for future in begun:
                future.cancel()
