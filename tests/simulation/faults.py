"""Injects random faults of every kind into a world, and heals them all at the end."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from random import Random

from tests.simulation.world import Installation, Replica, World

MOMENTS = (0.05, 0.5, 2.0, 5.0)
"""The maximum of seconds that a short fault lasts."""


@dataclass(frozen=True, slots=True)
class Faults:
    """Injects faults into a world; ``heal`` ends all of them."""

    world: World
    chance: Random

    def strike(self) -> str:
        """Inject a random fault; return its name."""
        kind = self.chance.choice(KINDS)
        return f"{kind.__name__.strip('_')}: {kind(self)}"

    def absence(self) -> tuple[str, float]:
        """Disconnect, kill or freeze an agent for about the reassign timeout; return the seconds."""
        lasts = self.chance.uniform(0.9, 1.8) * self.world.timings.reassign_after.total_seconds()
        kind = self.chance.choice(ABSENCES)
        return f"{kind.__name__.strip('_')}: {kind(self, lasts)}", lasts

    def heal(self) -> None:
        """End every fault; restart what was killed, and keep each cluster's first installation only."""
        world = self.world
        world.postgres.is_down = False
        world.postgres.slow = world.postgres.broken = 0
        world.postgres.break_listening()
        world.cuts = lambda: 0
        for replica in world.replicas:
            self._thaw(replica)
            self._rise(replica)
        for installation in world.installations:
            for wire in installation.wires:
                wire.disorder()
            installation.disk.is_full = False
            installation.is_cut_off = False
            installation.disk.latency = 0.01
            self._thaw(installation)
            if world.is_to_stay(installation):
                self._rise(installation)
            else:
                installation.kill()
                installation.machine.reboot()

    def after(self, seconds: float, do: Callable[..., object], *args: object) -> None:
        self.world.later(seconds, do, *args)

    def moment(self) -> float:
        return self.chance.uniform(0, self.chance.choice(MOMENTS))

    def while_(self) -> float:
        """Draw the duration of a fault: a moment, past the fence, or past the reassignment."""
        timings = self.world.timings
        longest = self.chance.choice(
            [5.0, timings.self_fence.total_seconds(), 1.5 * timings.reassign_after.total_seconds()]
        )
        return self.chance.uniform(0, longest)

    def agent(self) -> Installation:
        return self.chance.choice(self.world.installations)

    def replica(self) -> Replica:
        return self.chance.choice(self.world.replicas)

    def _rise(self, who: Installation | Replica) -> None:
        if not who.is_up:
            who.start()

    def _thaw(self, who: Installation | Replica) -> None:
        if who.node is not None and who.node.is_frozen:
            who.node.thaw()


def _stream_is_cut(faults: Faults) -> str:
    agent = faults.agent()
    if agent.wire is not None:
        agent.wire.cut()
    return agent.name


def _streams_are_cut_after_some_frames(faults: Faults) -> str:
    frames = faults.chance.randint(1, 20)
    faults.world.cuts = lambda: faults.chance.randint(1, frames)
    lasts = faults.moment()
    faults.after(lasts, setattr, faults.world, "cuts", lambda: 0)
    agent = faults.agent()
    if agent.wire is not None:
        agent.wire.cut()
    return f"{agent.name}, at most {frames} frames, for {lasts:.1f} s"


def _one_direction_is_swallowed(faults: Faults) -> str:
    agent, up, down = faults.agent(), *faults.chance.choice([(1, 0), (0, 1), (1, 1)])
    if agent.wire is not None:
        agent.wire.up.swallows |= bool(up)
        agent.wire.down.swallows |= bool(down)
    return f"{agent.name}, up {up}, down {down}"


def _frames_come_twice(faults: Faults) -> str:
    agent, allocate = faults.agent(), faults.chance.choice([0.05, 0.5])
    if agent.wire is not None:
        agent.wire.disorder(repeats=allocate)
    return f"{agent.name}, {allocate} of them"


def _frames_overtake_each_other(faults: Faults) -> str:
    agent, allocate = faults.agent(), faults.chance.choice([0.05, 0.5])
    if agent.wire is not None:
        agent.wire.disorder(strays=allocate)
    return f"{agent.name}, {allocate} of them"


def _agent_is_cut_off(faults: Faults, lasts: float | None = None) -> str:
    agent, lasts = faults.agent(), lasts or faults.while_()
    agent.is_cut_off = True
    if agent.wire is not None and faults.chance.random() < 0.5:
        agent.wire.up.swallows = agent.wire.down.swallows = True
    elif agent.wire is not None:
        agent.wire.cut()
    faults.after(lasts, setattr, agent, "is_cut_off", False)
    return f"{agent.name} for {lasts:.1f} s"


def _agent_is_killed(faults: Faults, lasts: float | None = None) -> str:
    agent, lasts = faults.agent(), lasts or faults.while_()
    agent.kill(silently=faults.chance.random() < 0.3)
    faults.after(lasts, faults._rise, agent)
    return f"{agent.name} for {lasts:.1f} s"


def _machine_reboots(faults: Faults) -> str:
    agent, lasts = faults.agent(), faults.moment()
    agent.kill(silently=True)
    agent.machine.reboot()
    faults.after(lasts, faults._rise, agent)
    return f"{agent.name} for {lasts:.1f} s"


def _replica_is_killed(faults: Faults) -> str:
    replica, lasts = faults.replica(), faults.moment()
    _kill(faults, replica, lasts)
    return f"{replica.name} for {lasts:.1f} s"


def _replica_is_told_to_stop(faults: Faults) -> str:
    replica, lasts = faults.replica(), faults.moment()
    if replica.is_up:
        replica.close()
        faults.after(lasts, _kill, faults, replica, lasts)
    return f"{replica.name} for {lasts:.1f} s"


def _control_plane_is_down(faults: Faults) -> str:
    lasts = faults.while_()
    for replica in faults.world.replicas:
        _kill(faults, replica, lasts)
    return f"for {lasts:.1f} s"


def _kill(faults: Faults, replica: Replica, lasts: float) -> None:
    mark_dispatched = [each.wire for each in faults.world.installations if each.wire is not None]
    replica.kill()
    for wire in mark_dispatched:
        if faults.chance.random() < 0.7:
            wire.cut()
    faults.after(lasts, faults._rise, replica)


def _postgres_is_down(faults: Faults) -> str:
    lasts = faults.while_()
    postgres = faults.world.postgres
    postgres.is_down = True
    faults.after(lasts, setattr, postgres, "is_down", False)
    faults.after(lasts, postgres.break_listening)
    return f"for {lasts:.1f} s"


def _postgres_breaks_connections(faults: Faults) -> str:
    lasts, allocate = faults.moment(), faults.chance.choice([0.1, 0.5])
    postgres = faults.world.postgres
    postgres.broken = allocate
    postgres.break_listening()
    faults.after(lasts, setattr, postgres, "broken", 0.0)
    return f"{allocate} of them for {lasts:.1f} s"


def _postgres_is_slow(faults: Faults) -> str:
    lasts, slow = faults.while_(), faults.chance.choice([0.1, 1.0, 4.0])
    faults.world.postgres.slow = slow
    faults.after(lasts, setattr, faults.world.postgres, "slow", 0.0)
    return f"{slow} s for {lasts:.1f} s"


def _agent_is_frozen(faults: Faults, lasts: float | None = None) -> str:
    agent, lasts = faults.agent(), lasts or faults.while_()
    if agent.node is not None:
        agent.node.freeze()
        faults.after(lasts, faults._thaw, agent)
    return f"{agent.name} for {lasts:.1f} s"


def _replica_is_frozen(faults: Faults) -> str:
    replica, lasts = faults.replica(), faults.while_()
    if replica.node is not None:
        replica.node.freeze()
        faults.after(lasts, faults._thaw, replica)
    return f"{replica.name} for {lasts:.1f} s"


def _disk_is_full(faults: Faults) -> str:
    agent, lasts = faults.agent(), faults.moment()
    agent.disk.is_full = True
    faults.after(lasts, setattr, agent.disk, "is_full", False)
    return f"{agent.name} for {lasts:.1f} s"


def _disk_is_slow(faults: Faults) -> str:
    agent, slow = faults.agent(), faults.chance.choice([0.2, 2.0])
    agent.disk.latency = slow
    faults.after(faults.while_(), setattr, agent.disk, "latency", 0.01)
    return f"{agent.name}, {slow} s"


def _agents_clock_jumps(faults: Faults) -> str:
    agent, jump = faults.agent(), faults.chance.choice([-3600, -30, -1, 1, 30, 3600])
    agent.clock.ahead += timedelta(seconds=jump)
    return f"{agent.name} by {jump} s"


def _replicas_clock_jumps(faults: Faults) -> str:
    replica, jump = faults.replica(), faults.chance.choice([-30, -1, 1, 30])
    replica.clock.ahead += timedelta(seconds=jump)
    return f"{replica.name} by {jump} s"


def _another_agent_comes(faults: Faults) -> str:
    """Start a second agent with the same token on another machine."""
    if len(faults.world.installations) > 3:
        return "there are enough"
    return faults.world.add_installation(faults.agent().cluster).name


KINDS = (
    _stream_is_cut,
    _streams_are_cut_after_some_frames,
    _one_direction_is_swallowed,
    _frames_come_twice,
    _frames_overtake_each_other,
    _agent_is_cut_off,
    _agent_is_killed,
    _machine_reboots,
    _replica_is_killed,
    _replica_is_told_to_stop,
    _control_plane_is_down,
    _postgres_is_down,
    _postgres_breaks_connections,
    _postgres_is_slow,
    _agent_is_frozen,
    _replica_is_frozen,
    _disk_is_full,
    _disk_is_slow,
    _agents_clock_jumps,
    _replicas_clock_jumps,
    _another_agent_comes,
)

ABSENCES = (_agent_is_cut_off, _agent_is_killed, _agent_is_frozen)
