"""Tests of runs created with their inputs: a run starts once its inputs are stored."""

import asyncio
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from controlplane.core.actions import ActionRow
from controlplane.core.callers import EVERYTHING, Caller, Subject, org_wide
from controlplane.core.errors import AlreadyExistsError, UnavailableError
from controlplane.core.explanations import Explained
from controlplane.core.reason_codes import Reason
from controlplane.core.runs import INPUTS_GRACE, InputsUpload, RunRequest
from controlplane.feeds.feeds import Feeds
from controlplane.store.notify.notifications import listen
from controlplane.usecases import runs as usecase
from controlplane.usecases.explanations import Explanations
from controlplane.usecases.runs import Runs
from shared.blobs.store import BlobStore, open_store
from shared.model.ids import DomainName, ProjectName
from tests.factories import NOW, ORG, make_action_key, make_new_run
from tests.fakes.clock import FakeClock
from tests.integration.runs import make_runs
from tests.integration.store.conftest import Store, store

__all__ = ["store"]

CALLER = Caller(subject=Subject("someone"), org=ORG, name="", grants=org_wide(EVERYTHING))
INPUTS = InputsUpload(
    project=ProjectName("p"), domain=DomainName("development"), body=b"the inputs"
)
BEGIN = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class World:
    store: Store
    clock: FakeClock
    blobs: BlobStore
    runs: Runs
    directory: Path

    async def create(self, inputs: InputsUpload | None = INPUTS) -> ActionRow:
        """Create run r1, as CreateRun does."""
        base = f"{self.blobs.base}/{ORG}/p/development/r1"
        new = replace(make_new_run(), run_base=base, input_uri="")
        return await self.runs.create(
            CALLER,
            new.key.run,
            new.spec.body,
            lambda _, __: RunRequest(new=new, code_bundle="", inputs=inputs),
        )

    async def explain(self) -> Explained:
        return await Explanations(self.store.database, self.clock).action(
            CALLER, make_action_key("a0")
        )

    async def list_blobs(self) -> list[str]:
        listed = await self.blobs.list_below(f"{self.blobs.base}/{ORG}", limit=10)
        return [each.path for each in listed]

    async def claim(self) -> list[str]:
        claimed = await self.store.claim(now=self.clock.now())
        return [each.input_uri for each in claimed]

    def fail_writes(self) -> None:
        """Make every write fail: a file is in the place of the org's directory."""
        (self.directory / ORG).write_text("a file")

    def allow_writes(self) -> None:
        (self.directory / ORG).unlink()


@pytest.fixture
def world(store: Store, database_url: str, tmp_path: Path) -> World:
    clock = FakeClock(NOW)
    blobs = open_store(f"file://{tmp_path}")
    feeds = Feeds(store.database, partial(listen, database_url))
    return World(store, clock, blobs, make_runs(store.database, feeds, clock, blobs), tmp_path)


class PausedStore(BlobStore):
    """A store whose writes wait until the test allows them."""

    def __init__(self, other: BlobStore) -> None:
        self.__dict__.update(other.__dict__)
        self.reached, self.allowed = asyncio.Event(), asyncio.Event()

    async def write(self, uri: str, data: bytes) -> None:
        self.reached.set()
        await self.allowed.wait()
        await super().write(uri, data)


@pytest.fixture
def paused(world: World) -> tuple[World, PausedStore]:
    blobs = PausedStore(world.blobs)
    feeds = Feeds(world.store.database, partial(listen, world.store.url))
    runs = make_runs(world.store.database, feeds, world.clock, blobs)
    return replace(world, runs=runs), blobs


async def stop_while_storing(world: World, blobs: PausedStore) -> None:
    """Create a run and stop, as a replica that ends does, before its inputs are stored."""
    async with asyncio.TaskGroup() as tasks:
        creating = tasks.create_task(world.create())
        await blobs.reached.wait()
        creating.cancel()


async def test_run_starts_when_its_inputs_are_stored(paused: tuple[World, PausedStore]) -> None:
    world, blobs = paused
    async with world.store.listening() as notified, asyncio.TaskGroup() as tasks:
        creating = tasks.create_task(world.create())
        await blobs.reached.wait()
        assert await world.claim() == []
        assert notified.empty()
        assert (await world.explain()).now.reason is Reason.STORING_INPUTS
        blobs.allowed.set()
        root = await creating
        notification = await notified.get()
        assert (notification.runs, notification.work) == ([root.run_id], [""])
    [uri] = await world.claim()
    assert await world.blobs.read(uri, limit=100) == b"the inputs"


async def test_run_of_a_replica_that_stopped_is_started_by_a_repeated_request(
    paused: tuple[World, PausedStore],
) -> None:
    world, blobs = paused
    await stop_while_storing(world, blobs)
    assert await world.claim() == []
    assert await world.list_blobs() == []

    blobs.allowed.set()
    await world.create()
    assert len(await world.claim()) == 1
    assert len(await world.list_blobs()) == 1
    assert await world.store.count("runs") == 1


async def test_run_of_a_replica_that_stopped_starts_after_the_grace(
    paused: tuple[World, PausedStore],
) -> None:
    world, blobs = paused
    await stop_while_storing(world, blobs)
    world.clock.advance(INPUTS_GRACE - BEGIN)
    assert await world.claim() == []
    world.clock.advance(BEGIN)
    assert len(await world.claim()) == 1


async def test_run_whose_inputs_cannot_be_stored_is_deleted_and_can_be_created_again(
    world: World,
) -> None:
    world.fail_writes()
    with pytest.raises(UnavailableError, match="inputs of run p/development/r1 could not be"):
        await world.create()
    for table in ("runs", "actions", "dispatches"):
        assert await world.store.count(table) == 0

    world.allow_writes()
    await world.create()
    assert len(await world.claim()) == 1


async def test_run_whose_inputs_take_too_long_is_deleted(
    paused: tuple[World, PausedStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    world, _ = paused
    monkeypatch.setattr(usecase, "INPUTS_TIMEOUT", timedelta(milliseconds=1))
    with pytest.raises(UnavailableError, match="took longer than"):
        await world.create()
    assert await world.store.count("runs") == 0


async def test_run_that_has_started_is_not_deleted_when_a_repeated_request_fails(
    world: World,
) -> None:
    await world.create()
    [uri] = await world.claim()
    await world.blobs.delete(uri)
    for directory in sorted(world.directory.rglob("*"), reverse=True):
        directory.rmdir()
    world.fail_writes()
    with pytest.raises(UnavailableError):
        await world.create()
    assert await world.store.count("runs") == 1


async def test_request_whose_run_another_one_deleted_is_refused(
    paused: tuple[World, PausedStore], world: World
) -> None:
    """Two requests store the same run's inputs; one of them fails, and deletes the run."""
    waiting, blobs = paused
    async with asyncio.TaskGroup() as tasks:

        async def create() -> None:
            with pytest.raises(UnavailableError, match="by another request; try again"):
                await waiting.create()

        tasks.create_task(create())
        await blobs.reached.wait()
        world.fail_writes()
        with pytest.raises(UnavailableError, match="try again"):
            await world.create()
        world.allow_writes()
        blobs.allowed.set()


async def test_run_with_other_inputs_of_the_same_name_is_refused(world: World) -> None:
    await world.create()
    with pytest.raises(AlreadyExistsError):
        await world.create(replace(INPUTS, body=b"other inputs"))
    assert len(await world.list_blobs()) == 1
