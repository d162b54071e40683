"""Logs in devices without a browser: a person enters the device's code in a browser elsewhere."""

import logging
from dataclasses import dataclass, field
from datetime import timedelta

from controlplane.authn.refresh_tokens import make_user_code
from controlplane.authn.sealing import Sealer
from controlplane.core.errors import ExhaustedError, NotFoundError
from controlplane.core.oauth import (
    DEVICE_CODE_LIVES,
    MOST_PENDING_OF_PEER,
    POLL_INTERVAL,
    Login,
    PendingDevice,
    PolledDevice,
    normalise_user_code,
)
from controlplane.store.credentials import device_codes as store
from controlplane.store.database import Database
from shared.kit.clock import Clock
from shared.kit.secrets import SecretText, digest_of, new_secret

log = logging.getLogger(__name__)

_PURPOSE = "user code"
_TRIES = 5  # codes are random, so another one is almost certainly free


@dataclass(frozen=True, slots=True)
class DeviceLogin:
    """The answer to a device: its own code, and the one that it shows to its user."""

    device_code: SecretText
    user_code: str = field(repr=False)
    lives: timedelta = DEVICE_CODE_LIVES
    interval: timedelta = POLL_INTERVAL


class DeviceCodes:
    def __init__(self, database: Database, sealer: Sealer, clock: Clock) -> None:
        self._database = database
        self._sealer = sealer
        self._clock = clock

    async def start(self, client_id: str, peer: str) -> DeviceLogin:
        """
        Start the login of a device; ``peer`` is its address, shown to the person who decides.

        ExhaustedError: too many logins of this address are pending.
        """
        now = self._clock.now()
        async with self._database.for_fleet("start a device login") as tx:
            if await store.count_pending(tx, peer, now) >= MOST_PENDING_OF_PEER:
                raise ExhaustedError(
                    f"{MOST_PENDING_OF_PEER} device logins from {peer} are pending; finish one, or"
                    " wait some minutes"
                )
            for _ in range(_TRIES):
                login = DeviceLogin(new_secret(), make_user_code())
                if await store.insert_device_code(
                    tx,
                    digest=digest_of(login.device_code),
                    user_code_digest=self._digest(login.user_code),
                    client_id=client_id,
                    peer=peer,
                    interval=login.interval,
                    expires_at=now + login.lives,
                    now=now,
                ):
                    return login
        raise ExhaustedError("no free user code was found; try again")

    async def find(self, user_code: str) -> PendingDevice:
        """Return the device that shows this code; NotFoundError if none waits with it."""
        normal = normalise_user_code(user_code)
        if normal is not None:
            async with self._database.for_fleet("find a device login") as tx:
                found = await store.find_pending(tx, self._digest(normal), self._clock.now())
            if found is not None:
                return found
        raise NotFoundError("device code", user_code[:20], remedy=_REMEDY)

    async def decide(self, user_code: str, login: Login, *, approved: bool) -> None:
        """Allow or deny the device's login as ``login``; NotFoundError if none waits."""
        normal = normalise_user_code(user_code)
        decided = False
        if normal is not None:
            async with self._database.for_fleet("decide on a device login") as tx:
                decided = await store.decide(
                    tx, self._digest(normal), login, self._clock.now(), approved=approved
                )
        if not decided:
            raise NotFoundError("device code", user_code[:20], remedy=_REMEDY)
        log.info(
            "device login decided",
            extra={"org": login.org, "subject": login.subject, "approved": approved},
        )

    async def poll(self, device_code: SecretText, client_id: str) -> PolledDevice | None:
        """Return the state of a device's login, and end it if it was decided; None: unknown."""
        async with self._database.for_fleet("poll a device login") as tx:
            found = await store.poll(tx, digest_of(device_code), client_id, self._clock.now())
        return None if found is None or found.client_id != client_id else found

    def _digest(self, user_code: str) -> bytes:
        return self._sealer.digest(user_code, _PURPOSE)


_REMEDY = "codes are valid for ten minutes and once; start again on the device"
