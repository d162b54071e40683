"""Use cases of authentication: what a subject may do in an org, and whom an API key speaks for."""

import hmac
from datetime import datetime
from uuid import UUID

from controlplane.core.callers import Caller, Credential, Subject
from controlplane.core.credentials import CredentialKind, CredentialOwner
from controlplane.core.deleted_orgs import explain_deletion
from controlplane.core.errors import UnauthenticatedError
from controlplane.core.identity import find_api_key_id, subject_of_account
from controlplane.store.database import Database
from controlplane.store.identity import accounts
from controlplane.store.identity.grants import resolve_caller
from controlplane.store.identity.orgs import find_org
from shared.kit.clock import Clock
from shared.kit.secrets import SecretText, digest_of
from shared.model.ids import OrgName


class Callers:
    """Reads the grants of subjects; the authenticator remembers them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def __call__(self, org: OrgName, subject: Subject) -> Caller:
        """Return a subject with its grants; UnauthenticatedError if the org does not know it."""
        async with self._database.for_org(org) as tx:
            caller = await resolve_caller(tx, subject)
            found = await find_org(tx) if caller is None else None
        if found is not None and found.deletion is not None:
            raise UnauthenticatedError(explain_deletion(org, found.deletion))
        if caller is None:
            raise UnauthenticatedError(f"{subject} is no member of org {org}; log in again")
        return caller


class ApiKeyChecks:
    """Checks API keys by their secret, and remembers when each was used until ``save_uses``."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._uses: dict[UUID, datetime] = {}

    async def check(self, client_id: str, secret: SecretText) -> CredentialOwner | None:
        """
        Return whom a key speaks for.

        None: unknown, of another secret, expired, revoked, or of a disabled account. Both values
        come from the network unchecked.
        """
        key = find_api_key_id(client_id)
        if key is None:
            return None
        now = self._clock.now()
        async with self._database.for_fleet("find the org of an API key") as tx:
            found = await accounts.find_valid_key(tx, key, now)
        if found is None:
            return None
        org, account, digest, expires_at = found
        if not hmac.compare_digest(digest, digest_of(secret)):
            return None
        self._uses[key] = now
        credential = Credential(CredentialKind.API_KEY, str(key), expires_at)
        return CredentialOwner(org, subject_of_account(account), credential)

    async def save_uses(self) -> int:
        """Save when keys were last used, all in one statement; return how many were."""
        uses, self._uses = self._uses, {}
        if not uses:
            return 0
        try:
            async with self._database.for_fleet("save when API keys were used") as tx:
                await accounts.save_uses(tx, uses)
        except BaseException:
            self._uses = {**uses, **self._uses}
            raise
        return len(uses)
