"""
Use cases of e-mail domains that an org proves by a DNS record: claim, verify, look up again.

No look-up is made inside a transaction. A proven claim has a row in ``email_domains``, by which the
domain's users join; what else lets them join needs no record (``usecases.identity.orgs``).
"""

import logging
from collections.abc import Sequence
from typing import Protocol

from controlplane.core.callers import Caller, Permission, Subject
from controlplane.core.email_addresses import parse_email_domain
from controlplane.core.email_domains import (
    CHECKED_AGAIN,
    MISSING_FOR,
    DomainClaim,
    explain_missing,
    next_check,
)
from controlplane.core.errors import (
    ExhaustedError,
    NotFoundError,
    NotReadyError,
    UnavailableError,
)
from controlplane.core.identity import MAX_EMAIL_DOMAINS
from controlplane.outbound.dns import LookupFailedError
from controlplane.store.database import Database, OrgTx
from controlplane.store.identity import email_domain_claims as store, invitations
from controlplane.usecases.identity.audit import record
from controlplane.usecases.identity.roles import find_permissions
from shared.kit.clock import Clock
from shared.kit.secrets import new_secret
from shared.model.ids import OrgName

log = logging.getLogger(__name__)

_PAGE = 50
_LOOP = Subject("operator:volary")


class ListTexts(Protocol):
    async def list_texts(self, name: str) -> Sequence[str]:
        """Return the texts of a name's TXT records; LookupFailedError."""
        ...


class EmailDomains:
    """Use cases of claims; ``dns`` looks up their records."""

    def __init__(self, database: Database, clock: Clock, dns: ListTexts) -> None:
        self._database = database
        self._clock = clock
        self._dns = dns

    async def claim(self, caller: Caller, domain: str, role: str) -> DomainClaim:
        """
        Claim a domain, whose users may join with ``role`` once its record is found.

        Idempotent: the record to set stays the same; the role may change, also of a proven domain.
        InvalidError, NotFoundError (role), NotAllowedError, ExhaustedError.
        """
        caller.require(Permission.ORG_WRITE)
        checked = parse_email_domain(domain)
        now = self._clock.now()
        async with self._database.for_org(caller.org) as tx:
            caller.require_all(await find_permissions(tx, role, required=True))
            known = await store.list_claims(tx)
            is_known = any(each.domain == checked for each in known)
            if not is_known and len(known) >= MAX_EMAIL_DOMAINS:
                raise ExhaustedError(f"an org claims at most {MAX_EMAIL_DOMAINS} e-mail domains")
            challenge = new_secret().reveal()
            claim = await store.save_claim(tx, checked, role, challenge, by=caller.subject, now=now)
            if claim.proven_at is not None:
                await invitations.save_email_domain(tx, checked, role, by=caller.subject, now=now)
            await self._record(tx, caller, "email_domain.claim", claim)
        return claim

    async def verify(self, caller: Caller, domain: str) -> DomainClaim:
        """
        Look up the record of a claimed domain; its users may join if it is found.

        NotFoundError (no claim); NotReadyError: the record is not there, and the message names it;
        UnavailableError: no resolver answers.
        """
        caller.require(Permission.ORG_WRITE)
        checked = parse_email_domain(domain)
        claim = await self._get(caller.org, checked)
        try:
            texts = await self._dns.list_texts(claim.record_name)
        except LookupFailedError as error:
            raise UnavailableError(f"{error}; try again") from error
        now = self._clock.now()
        async with self._database.for_org(caller.org) as tx:
            claim = await self._lock(tx, checked)
            if claim.record_value not in texts:
                raise NotReadyError(explain_missing(claim, len(texts)))
            is_first = claim.proven_at is None
            due_at = next_check(claim, now, is_found=True)
            proven = await store.save_check(
                tx,
                checked,
                proven_at=claim.proven_at or now,
                missing_since=None,
                due_at=due_at,
                now=now,
            )
            by = caller.subject
            await invitations.save_email_domain(tx, checked, claim.role, by=by, now=now)
            if is_first:
                await self._record(tx, caller, "email_domain.verify", proven)
        return proven

    async def list(self, caller: Caller) -> Sequence[DomainClaim]:
        """List the org's claims, by domain, with the records to set."""
        caller.require(Permission.ORG_READ)
        async with self._database.for_org(caller.org) as tx:
            return await store.list_claims(tx)

    async def take_due(self) -> Sequence[tuple[OrgName, str]]:
        """
        Take a page of proven domains whose records are due to be looked up again.

        Two replicas take different ones. What is not looked up then is due again in an hour.
        """
        now = self._clock.now()
        async with self._database.for_fleet("take e-mail domains to look up") as fleet:
            return await store.take_due(fleet, now, again_at=now + CHECKED_AGAIN, most=_PAGE)

    async def check(self, org: OrgName, domain: str) -> None:
        """
        Look up the record of a proven domain again.

        A record that is missing for three days ends joining by the domain; those who have joined stay.
        A look-up without an answer says nothing, and changes nothing.
        """
        claim = await self._get(org, domain)
        try:
            texts = await self._dns.list_texts(claim.record_name)
        except LookupFailedError as error:  # says nothing of the record
            extra = {"org": org, "domain": domain, "error": str(error)}
            log.warning("e-mail domain not looked up", extra=extra)
            return
        now = self._clock.now()
        async with self._database.for_org(org) as tx:
            claim = await self._lock(tx, domain)
            is_found = claim.record_value in texts
            missing_since = None if is_found else claim.missing_since or now
            is_over = missing_since is not None and now - missing_since >= MISSING_FOR
            due_at = now + CHECKED_AGAIN if missing_since else next_check(claim, now, is_found=True)
            saved = await store.save_check(
                tx,
                domain,
                proven_at=None if is_over else claim.proven_at,
                missing_since=None if is_over else missing_since,
                due_at=None if is_over else due_at,
                now=now,
            )
            if is_over:
                await invitations.delete_email_domain(tx, domain)
                caller = Caller(subject=_LOOP, org=org, name="")
                await self._record(tx, caller, "email_domain.expire", saved)
        if not is_found:
            extra = {"org": org, "domain": domain, "since": str(missing_since)}
            log.warning("record of e-mail domain is missing", extra=extra)

    async def _get(self, org: OrgName, domain: str) -> DomainClaim:
        async with self._database.for_org(org) as tx:
            return await self._lock(tx, domain)

    async def _lock(self, tx: OrgTx, domain: str) -> DomainClaim:
        claim = await store.lock_claim(tx, domain)
        if claim is None:
            remedy = f"`volary email-domain claim {domain}` claims it"
            raise NotFoundError("claim of e-mail domain", domain, remedy=remedy)
        return claim

    async def _record(self, tx: OrgTx, caller: Caller, action: str, claim: DomainClaim) -> None:
        target, detail = f"email_domain:{claim.domain}", {"role": claim.role}
        await record(tx, self._clock, caller, action, target, detail=detail)
