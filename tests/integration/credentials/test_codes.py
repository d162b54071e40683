"""Authorization codes and device codes are used once, by their client, before they expire."""

import asyncio
from datetime import timedelta

import asyncpg
import pytest

from controlplane.authn.sealing import Sealer
from controlplane.core.callers import Subject
from controlplane.core.errors import ExhaustedError, NotFoundError
from controlplane.core.oauth import (
    CODE_LIVES,
    DEVICE_CODE_LIVES,
    LONGEST_POLL_INTERVAL,
    MOST_PENDING_OF_PEER,
    POLL_INTERVAL,
    Login,
    PolledDevice,
)
from controlplane.loops.expired_credentials import ExpiredCredentials
from controlplane.store.database import Database
from controlplane.usecases.authorization_codes import AuthorizationCodes
from controlplane.usecases.device_codes import DeviceCodes, DeviceLogin
from shared.kit.secrets import SecretBytes, SecretText
from tests.factories import ORG
from tests.fakes.clock import FakeClock

ADA = Login(ORG, Subject("user:ada"))
SECOND = timedelta(seconds=1)


@pytest.fixture
def codes(database: Database, clock: FakeClock) -> AuthorizationCodes:
    return AuthorizationCodes(database, clock)


@pytest.fixture
def devices(database: Database, clock: FakeClock) -> DeviceCodes:
    return DeviceCodes(database, Sealer([SecretBytes(b"k" * 32)]), clock)


async def issue(codes: AuthorizationCodes) -> SecretText:
    return await codes.issue(
        ADA, client_id="flyte", redirect_uri="http://localhost:1/callback", code_challenge="c"
    )


async def poll(devices: DeviceCodes, login: DeviceLogin, client_id: str = "flyte") -> PolledDevice:
    polled = await devices.poll(login.device_code, client_id)
    assert polled is not None
    return polled


async def test_authorization_code_is_taken_once(codes: AuthorizationCodes) -> None:
    code = await issue(codes)
    taken = await asyncio.gather(*(codes.take(code, "flyte") for _ in range(5)))
    [stored] = [each for each in taken if each is not None]
    assert stored.login == ADA
    assert stored.redirect_uri == "http://localhost:1/callback"


async def test_authorization_code_of_another_client_is_burnt(codes: AuthorizationCodes) -> None:
    code = await issue(codes)
    assert await codes.take(code, "volary") is None
    assert await codes.take(code, "flyte") is None


async def test_authorization_code_expires(codes: AuthorizationCodes, clock: FakeClock) -> None:
    code = await issue(codes)
    clock.advance(CODE_LIVES)
    assert await codes.take(code, "flyte") is None


async def test_device_is_logged_in_by_the_person_who_enters_its_code(
    devices: DeviceCodes, clock: FakeClock
) -> None:
    login = await devices.start("flyte", "192.0.2.1")
    assert (await poll(devices, login)).approved is None
    found = await devices.find(f" {login.user_code.lower().replace('-', ' ')} ")
    assert (found.client_id, found.peer, found.asked_at) == ("flyte", "192.0.2.1", clock.now())
    await devices.decide(login.user_code, ADA, approved=True)
    clock.advance(POLL_INTERVAL)
    polled = await poll(devices, login)
    assert polled.approved
    assert polled.login == ADA


async def test_device_code_is_taken_once(devices: DeviceCodes) -> None:
    login = await devices.start("flyte", "192.0.2.1")
    await devices.decide(login.user_code, ADA, approved=True)
    polls = await asyncio.gather(*(devices.poll(login.device_code, "flyte") for _ in range(5)))
    assert len([each for each in polls if each is not None]) == 1


async def test_device_that_polls_too_fast_has_to_slow_down(
    devices: DeviceCodes, clock: FakeClock
) -> None:
    login = await devices.start("flyte", "192.0.2.1")
    assert not (await poll(devices, login)).is_too_fast
    assert (await poll(devices, login)).is_too_fast
    clock.advance(POLL_INTERVAL + 4 * SECOND)
    assert (await poll(devices, login)).is_too_fast  # the interval is ten seconds now
    clock.advance(POLL_INTERVAL * 3)
    assert not (await poll(devices, login)).is_too_fast
    for _ in range(20):
        await poll(devices, login)
    clock.advance(LONGEST_POLL_INTERVAL)
    assert not (await poll(devices, login)).is_too_fast


async def test_device_code_of_another_client_changes_nothing(devices: DeviceCodes) -> None:
    login = await devices.start("flyte", "192.0.2.1")
    await devices.decide(login.user_code, ADA, approved=True)
    assert await devices.poll(login.device_code, "volary") is None
    assert (await poll(devices, login)).approved


async def test_device_login_is_decided_once(devices: DeviceCodes) -> None:
    login = await devices.start("flyte", "192.0.2.1")
    await devices.decide(login.user_code, ADA, approved=False)
    mallory = Login(ORG, Subject("user:mallory"))
    with pytest.raises(NotFoundError, match="device code"):
        await devices.decide(login.user_code, mallory, approved=True)
    with pytest.raises(NotFoundError):
        await devices.find(login.user_code)
    polled = await poll(devices, login)
    assert polled.approved is False


async def test_expired_device_code_is_neither_found_nor_decided(
    devices: DeviceCodes, clock: FakeClock
) -> None:
    login = await devices.start("flyte", "192.0.2.1")
    clock.advance(DEVICE_CODE_LIVES)
    with pytest.raises(NotFoundError):
        await devices.find(login.user_code)
    with pytest.raises(NotFoundError):
        await devices.decide(login.user_code, ADA, approved=True)
    assert (await poll(devices, login)).expires_at <= clock.now()


@pytest.mark.parametrize("text", ["", "AAAA-AAAA", "BCDF-GHJ", "BCDF-GHJKL", "' OR 1=1", "\0" * 8])
async def test_text_that_is_no_user_code_is_not_found(devices: DeviceCodes, text: str) -> None:
    with pytest.raises(NotFoundError, match="start again on the device"):
        await devices.find(text)


async def test_pending_device_logins_of_an_address_are_limited(
    devices: DeviceCodes, clock: FakeClock
) -> None:
    for _ in range(MOST_PENDING_OF_PEER):
        await devices.start("flyte", "192.0.2.1")
    with pytest.raises(ExhaustedError, match="are pending"):
        await devices.start("flyte", "192.0.2.1")
    await devices.start("flyte", "192.0.2.2")
    clock.advance(DEVICE_CODE_LIVES)
    await devices.start("flyte", "192.0.2.1")


async def test_user_code_cannot_be_found_by_hashing_the_few_there_are(
    devices: DeviceCodes, owner_database_url: str
) -> None:
    login = await devices.start("flyte", "192.0.2.1")
    assert login.user_code not in repr(login)
    owner = await asyncpg.connect(owner_database_url)
    stored = await owner.fetchval("SELECT user_code_digest FROM device_codes")
    await owner.close()
    other = Sealer([SecretBytes(b"o" * 32)])
    assert stored != other.digest(login.user_code, "user code")


async def test_expired_codes_are_deleted(
    codes: AuthorizationCodes, devices: DeviceCodes, database: Database, clock: FakeClock
) -> None:
    loop = ExpiredCredentials(database, clock, every=timedelta(hours=1))
    await issue(codes)
    await devices.start("flyte", "192.0.2.1")
    assert await loop.run_once() == 0
    clock.advance(DEVICE_CODE_LIVES + SECOND)
    assert await loop.run_once() == 2
