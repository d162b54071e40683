"""Invariants of every schedule. Each check returns violations as sentences, none if it holds."""

from collections.abc import Iterator
from itertools import pairwise

from shared.model.ids import ActionId
from shared.model.phases import TERMINAL, Phase
from tests.simulation.machine import Process
from tests.simulation.world import World

_BUGS = frozenset({"protocol", "bad_message", "internal", "unauthenticated"})
"""Codes with which no session may end, whatever the network does."""


def violated_invariants(world: World) -> Iterator[str]:
    yield from _crashes(world)
    yield from _ends_of_sessions(world)
    yield from _starts(world)
    yield from _overlaps(world)
    yield from _repeats(world)
    yield from _unfinished(world)
    yield from _lost_results(world)


def _crashes(world: World) -> Iterator[str]:
    yield from world.loop.complaints
    for node in world.loop.nodes:
        for task in node.tasks:
            if task.done() and not task.cancelled() and task.exception() is not None:
                yield f"{task.get_name()} broke: {task.exception()!r}"


def _ends_of_sessions(world: World) -> Iterator[str]:
    for end in world.ends:
        if end.code in _BUGS or not end.retry:
            yield f"a session ended with {end.code}: {end.message}"


def _starts(world: World) -> Iterator[str]:
    """Check that no attempt starts twice, or before its lease was recorded as accepted."""
    seen = set()
    for process in world.witness.processes:
        if process.attempt in seen:
            yield f"attempt {process.attempt} was started twice"
        seen.add(process.attempt)
        if (process.attempt, process.lease) not in world.store.accepted:
            yield f"attempt {process.attempt} was started without a confirmed lease"


def _overlaps(world: World) -> Iterator[str]:
    """
    Check that an action runs one attempt at a time.

    A second attempt of a non-replaceable action may run at the same time only if its agent has
    lost its record of the first.
    """
    forgotten = {lapse.attempt for lapse in world.store.lapses if lapse.missing}
    for processes in _by_action(world).values():
        for before, after in pairwise(processes):
            overlaps = before.ended_at is None or before.ended_at > after.started_at
            if overlaps and (before.replaceable or before.attempt not in forgotten):
                yield (
                    f"attempt {after.attempt} began at {after.started_at:.3f} on {after.machine} "
                    f"while {before.attempt.number} ran on {before.machine} until {before.ended_at}"
                )


def _by_action(world: World) -> dict[ActionId, list[Process]]:
    found: dict[ActionId, list[Process]] = {}
    for process in sorted(world.witness.processes, key=lambda each: each.started_at):
        found.setdefault(process.attempt.action, []).append(process)
    return found


def _repeats(world: World) -> Iterator[str]:
    """Check that a session sends each report once; only a new session may repeat it."""
    for installation in world.installations:
        for wire in installation.wires:
            for (action, number, version), times in wire.kind.items():
                if times > 1:
                    yield f"report {action.hex()}-{number}.{version} was said {times} times"


def _unfinished(world: World) -> Iterator[str]:
    """Check that every enqueued action ends, and that nothing runs after that."""
    for action in world.store.actions.values():
        if action.phase not in TERMINAL:
            yield f"action {action.id} ({action.key.name}) is {action.phase.name} at the end"
    for dispatch in world.store.dispatches.values():
        yield f"a dispatch of {dispatch.action} is left: {dispatch}"
    for process in world.strays:
        yield f"attempt {process.attempt} ran on on {process.machine}, held by nobody"
    for process in world.witness.running():
        yield f"attempt {process.attempt} runs at the end on {process.machine}"


def _lost_results(world: World) -> Iterator[str]:
    """Check that success on a surviving machine is recorded, unless its lease had expired."""
    given_away = {lapse.attempt for lapse in world.store.lapses}
    staying = {each.name for each in world.installations if world.is_to_stay(each)}
    for process in world.witness.processes:
        ended = process.exit
        if ended is None or ended.code != 0 or process.attempt in given_away:
            continue
        if process.machine not in staying:
            continue  # the machine is gone for good, with its unsent reports
        state = world.store.attempts[process.attempt].state
        if state.phase is not Phase.SUCCEEDED:
            yield f"attempt {process.attempt} succeeded, and counts as {state.phase.name}"
