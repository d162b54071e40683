"""Finishes revocations of logins whose process has died."""

from datetime import timedelta

from controlplane.loops.periodic import isolated, run_periodically
from controlplane.store.credentials.login_revocations import LoginRevocation
from controlplane.usecases.identity.login_revocations import LoginRevocations
from shared.kit.clock import Clock


class LoginRevocationLoop:
    """Loop that revokes in pages the logins that an earlier decision left."""

    def __init__(self, revocations: LoginRevocations, clock: Clock, *, every: timedelta) -> None:
        self._revocations = revocations
        self._clock = clock
        self._every = every

    async def run(self) -> None:
        await run_periodically(
            "login revocations", self.run_once, every=self._every, clock=self._clock
        )

    async def run_once(self) -> int:
        """
        Revoke all that is left; return how many logins. Safe on every replica at once.

        A revocation that fails is tried again in the next pass, and delays no other; one that
        another process has locked is left to that.
        """
        revoked = 0
        after: LoginRevocation | None = None
        while page := await self._revocations.list_begun(after):
            for each in page:
                with isolated("login revocations", org=each.org, logins=each.logins.value):
                    revoked += await self._revocations.finish(each, wait=False)
            after = page[-1]
        return revoked
