"""
A deterministic event loop in virtual time: time jumps to the next timer.

Only timers and the order of scheduling decide the order of callbacks. Callbacks belong to the
node that caused them. Those of a frozen node wait until it is thawed, as after SIGSTOP; those of
a dead node never run, not even a ``finally``, as after SIGKILL.
"""

import asyncio
import heapq
from collections.abc import Callable, Coroutine, Iterator
from contextvars import Context, ContextVar, copy_context
from itertools import count
from typing import Any, TypeVarTuple, Unpack

Ts = TypeVarTuple("Ts")

_NODE: ContextVar["Node | None"] = ContextVar("node", default=None)


class DeadlockError(Exception):
    """Deadlock: no callback is ready and no timer is set."""


class Node:
    """A process of the simulated world: its tasks stop and die with it."""

    def __init__(self, loop: "SimLoop", name: str) -> None:
        self.name = name
        self.is_alive = True
        self.is_frozen = False
        self.tasks: list[asyncio.Task[Any]] = []
        self._loop = loop
        self._kept: list[asyncio.Handle] = []
        self._context = copy_context()
        self._context.run(_NODE.set, self)

    def __repr__(self) -> str:
        return f"<Node {self.name}>"

    def spawn(self, work: Coroutine[Any, Any, None], *, name: str) -> Callable[[], bool]:
        """Start a task on the node; return a function that cancels it."""
        task = self._loop.create_task(work, name=name, context=self._context.copy())
        self.tasks.append(task)
        return task.cancel

    def freeze(self) -> None:
        self.is_frozen = True

    def thaw(self) -> None:
        self.is_frozen = False
        if self.is_alive:
            self.release()

    def kill(self) -> None:
        self.is_alive = False

    def keep(self, handle: asyncio.Handle) -> bool:
        """Hold a callback back if it may not run now; False if it may."""
        if self.is_alive and not self.is_frozen:
            return False
        self._kept.append(handle)
        return True

    def release(self) -> None:
        """Schedule every callback that was held back."""
        self._loop.add_ready(self._kept)
        self._kept.clear()


class _Task(asyncio.Task[Any]):
    """A task whose hash does not depend on its address, so that sets have a fixed order."""

    def __init__(self, coro: Coroutine[Any, Any, Any], *, order: int, **options: Any) -> None:
        self._order = order
        super().__init__(coro, **options)

    def __hash__(self) -> int:
        return self._order

    def __eq__(self, other: object) -> bool:
        return self is other


class SimLoop(asyncio.BaseEventLoop):
    def __init__(self) -> None:
        super().__init__()
        self.steps = 0
        self.nodes: list[Node] = []
        self._time = 0.0
        self._ready: Any
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._numbers: Iterator[int] = count()
        self.set_task_factory(self._make_task)
        self.set_exception_handler(self._note)
        self.complaints: list[str] = []

    def node(self, name: str) -> Node:
        made = Node(self, name)
        self.nodes.append(made)
        return made

    def add_ready(self, handles: list[asyncio.Handle]) -> None:
        self._ready.extend(handles)

    def time(self) -> float:
        return self._time

    def call_at(
        self,
        when: float,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        heapq.heappush(self._timers, (when, next(self._numbers), timer))
        return timer

    def call_in_world(self, when: float, callback: Callable[..., object], *args: Any) -> None:
        """Call at that time, even if the calling node is frozen or dead by then."""
        self.call_at(when, callback, *args, context=Context())

    def finish(self) -> None:
        """Cancel all tasks, run their clean-up to the end, and close the loop."""
        for node in self.nodes:
            node.is_alive, node.is_frozen = True, False
            node.release()
        for _ in range(20):
            remaining = [task for task in asyncio.all_tasks(self) if not task.done()]
            if not remaining:
                break
            for task in sorted(remaining, key=hash):
                task.cancel()
            self.run_until_complete(asyncio.sleep(120))
        self.run_until_complete(self.shutdown_asyncgens())
        self.close()

    def _run_once(self) -> None:
        if not self._ready:
            self._advance()
        for _ in range(len(self._ready)):
            handle = self._ready.popleft()
            if handle._cancelled:
                continue
            node = handle._context.get(_NODE)
            if node is not None and node.keep(handle):
                continue
            self.steps += 1
            handle._run()

    def _advance(self) -> None:
        while self._timers and self._timers[0][2].cancelled():
            heapq.heappop(self._timers)
        if not self._timers:
            raise DeadlockError
        self._time = max(self._time, self._timers[0][0])
        while self._timers and self._timers[0][0] <= self._time:
            self._ready.append(heapq.heappop(self._timers)[2])

    def _make_task(
        self, _loop: asyncio.AbstractEventLoop, coro: Any, **options: Any
    ) -> "asyncio.Task[Any]":
        return _Task(coro, order=next(self._numbers), loop=self, **options)

    def _note(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.complaints.append(f"{context.get('message')}: {context.get('exception')!r}")

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Do nothing: cancelled timers are skipped when they are due."""

    def _process_events(self, event_list: object) -> None:
        """Do nothing: the loop has no external events."""

    def _write_to_self(self) -> None:
        """Do nothing: the loop never sleeps, so it needs no wakeup."""
