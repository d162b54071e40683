"""Work for many threads, where a piece of work may turn out to be more of it."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Self

from dataplane.copilot.deadlines import Deadline

Work = Callable[[], "Sequence[Work]"]
"""Does something and returns what there is still to do."""

_POLL_SECONDS = 0.5  # at the deadline, which a signal may bring nearer


class Pool:
    """Threads, because bodies are read and hashed outside the interpreter's lock."""

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
        Do it all; raise the first error, with nothing more begun after it.

        ``works`` is drawn from while threads are busy, never far ahead. LateError when the
        deadline passes first.
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
