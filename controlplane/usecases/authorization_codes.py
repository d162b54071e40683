"""Issues authorization codes to people's browsers, and redeems each once for a login."""

from controlplane.core.oauth import CODE_LIVES, AuthorizationCode, Login
from controlplane.store.credentials.authorization_codes import insert_code, take_code
from controlplane.store.database import Database
from shared.kit.clock import Clock
from shared.kit.secrets import SecretText, digest_of, new_secret


class AuthorizationCodes:
    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def issue(
        self, login: Login, *, client_id: str, redirect_uri: str, code_challenge: str
    ) -> SecretText:
        """Return a code for ``login``; ``code_challenge`` is of the method S256."""
        code, now = new_secret(), self._clock.now()
        stored = AuthorizationCode(
            login=login,
            client_id=client_id,
            redirect_uri=redirect_uri,
            code_challenge=code_challenge,
            expires_at=now + CODE_LIVES,
        )
        async with self._database.for_fleet("store an authorization code") as tx:
            await insert_code(tx, digest_of(code), stored, now)
        return code

    async def take(self, code: SecretText, client_id: str) -> AuthorizationCode | None:
        """
        Return the login of a valid code of this client, once.

        The code is gone afterwards, whether or not its verifier turns out to be right: a second
        guess needs a second login.
        """
        async with self._database.for_fleet("redeem an authorization code") as tx:
            stored = await take_code(tx, digest_of(code))
        if stored is None or stored.client_id != client_id:
            return None
        return stored if self._clock.now() < stored.expires_at else None
