"""Open streams end early with an error that tells the client what to do."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from connectrpc.code import Code
from connectrpc.errors import ConnectError

from controlplane.api.live_streams import LiveStreams
from controlplane.core.callers import Caller, Credential, Subject
from controlplane.core.credentials import Revocation
from shared.model.ids import OrgName
from tests.fakes.clock import FakeClock

START = datetime(2026, 3, 1, tzinfo=UTC)
ORG = OrgName("acme")


@dataclass(slots=True)
class Opened:
    task: "asyncio.Task[None]"

    async def error(self) -> ConnectError:
        with pytest.raises(ConnectError) as raised:
            await self.task
        return raised.value


@pytest.fixture
def streams() -> LiveStreams:
    return LiveStreams(FakeClock(START))


def make_caller(
    subject: str = "user:ada",
    org: OrgName = ORG,
    credential: str = "f1",
    expires_at: datetime | None = None,
) -> Caller:
    return Caller(
        subject=Subject(subject),
        org=org,
        name="",
        credential=Credential("login", credential, expires_at),
    )


@asynccontextmanager
async def opened(streams: LiveStreams, caller: Caller) -> AsyncIterator[Opened]:
    """Serve a quiet stream of ``caller``; it is ended with the block if it is still open."""
    is_open = asyncio.Event()

    async def serve() -> None:
        with streams.open() as stream, streams.of_caller(stream, caller):
            is_open.set()
            await asyncio.Event().wait()

    task = asyncio.get_running_loop().create_task(serve())
    waiting = asyncio.get_running_loop().create_task(is_open.wait())
    await asyncio.wait([task, waiting], return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    yield Opened(task)
    task.cancel()
    await asyncio.wait([task])


def revocation(credential: str, org: OrgName = ORG) -> Revocation:
    return Revocation(org, "login", credential, START + timedelta(minutes=20))


async def test_stream_of_a_revoked_credential_ends_unauthenticated(streams: LiveStreams) -> None:
    async with (
        opened(streams, make_caller()) as ended,
        opened(streams, make_caller(credential="f2")) as other,
        opened(streams, make_caller(org=OrgName("other"))) as foreign,
    ):
        streams.end_revoked([revocation("f1")])
        error = await ended.error()
        assert error.code is Code.UNAUTHENTICATED
        assert "was revoked" in error.message
        assert not other.task.done()
        assert not foreign.task.done()


async def test_stream_of_an_expired_credential_ends_with_connect_again(
    streams: LiveStreams,
) -> None:
    async with (
        opened(streams, make_caller(expires_at=START)) as expired,
        opened(streams, make_caller(expires_at=START + timedelta(hours=1))) as valid,
    ):
        error = await expired.error()
        assert error.code is Code.UNAVAILABLE
        assert "has expired; connect again" in error.message
        assert not valid.task.done()


async def test_streams_of_a_subject_end_when_its_grants_change(streams: LiveStreams) -> None:
    async with (
        opened(streams, make_caller()) as ada,
        opened(streams, make_caller("user:bob", credential="f2")) as bob,
    ):
        streams.end_changed(ORG, [Subject("user:ada")])
        error = await ada.error()
        assert error.code is Code.UNAVAILABLE
        assert "permissions have changed" in error.message
        assert not bob.task.done()
        streams.end_changed(OrgName("other"), None)
        await asyncio.sleep(0)
        assert not bob.task.done()
        streams.end_changed(ORG, None)
        assert (await bob.error()).code is Code.UNAVAILABLE


async def test_streams_survive_lost_notifications(streams: LiveStreams) -> None:
    async with opened(streams, make_caller()) as stream:
        streams.end_changed(None, None)
        await asyncio.sleep(0)
        assert not stream.task.done()


async def test_first_reason_to_end_a_stream_is_reported(streams: LiveStreams) -> None:
    async with opened(streams, make_caller()) as stream:
        streams.end_revoked([revocation("f1")])
        streams.close()
        assert (await stream.error()).code is Code.UNAUTHENTICATED


async def test_closed_streams_end_and_none_is_opened(streams: LiveStreams) -> None:
    async with opened(streams, make_caller()) as stream:
        streams.close()
        assert (await stream.error()).code is Code.UNAVAILABLE
    async with opened(streams, make_caller()) as late:
        error = await late.error()
        assert error.code is Code.UNAVAILABLE
        assert "stopping" in error.message


async def test_cancelled_stream_stays_cancelled(streams: LiveStreams) -> None:
    async with opened(streams, make_caller()) as stream:
        stream.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await stream.task


async def test_ended_streams_are_not_remembered(streams: LiveStreams) -> None:
    async with opened(streams, make_caller(expires_at=START + timedelta(hours=1))):
        pass
    streams.end_revoked([revocation("f1")])
    streams.close()
    assert not streams._of_credential
    assert not streams._of_subject
    assert not streams._streams
