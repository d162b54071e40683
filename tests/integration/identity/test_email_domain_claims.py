"""E-mail domains that an org proves by a DNS record, looked up at a real DNS server."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta

import dns.rcode
import pytest

from controlplane.core.callers import EVERYTHING, Caller, Subject, org_wide
from controlplane.core.email_domains import CHECKED_AGAIN, CHECKED_EVERY, MISSING_FOR
from controlplane.core.errors import (
    InvalidError,
    NotAllowedError,
    NotFoundError,
    NotReadyError,
    UnavailableError,
)
from controlplane.core.roles import ADMIN, OWNER, VIEWER
from controlplane.loops.email_domains import EmailDomainChecks
from controlplane.outbound import dns as outbound
from controlplane.outbound.dns import Dns, DnsSettings
from controlplane.store.identity import users
from controlplane.usecases.identity.email_domains import EmailDomains
from shared.model.ids import OrgName
from tests.factories import ORG
from tests.integration.identity.conftest import World
from tests.servers.dns_server import DnsForTests, serving_dns

DOMAIN = "corp.example"
RECORD = f"_volary-challenge.{DOMAIN}"
OTHER = OrgName("other")


@dataclass(frozen=True, slots=True)
class Claims:
    """The use cases of claims, with the DNS server that they ask."""

    world: World
    server: DnsForTests
    domains: EmailDomains

    async def publish(self) -> None:
        """Claim the domain, and set the record that is asked for."""
        claim = await self.domains.claim(self.world.owner, DOMAIN, VIEWER)
        self.server.texts[claim.record_name] = ["v=spf1 -all", claim.record_value]

    async def prove(self) -> None:
        await self.publish()
        await self.domains.verify(self.world.owner, DOMAIN)

    async def check_due(self) -> None:
        loop = EmailDomainChecks(self.domains, self.world.clock, every=timedelta(hours=1))
        await loop.run_once()

    async def may_join(self) -> bool:
        user = await self.world.log_in("bob", email=f"bob@{DOMAIN}")
        return bool(await self.world.invitations.list_joinable(user))


@pytest.fixture
async def claims(world: World) -> AsyncIterator[Claims]:
    async with serving_dns() as server:
        domains = EmailDomains(world.database, world.clock, Dns([server.address]))
        yield Claims(world, server, domains)


async def test_domain_is_open_once_its_record_is_found_and_not_before(claims: Claims) -> None:
    claim = await claims.domains.claim(claims.world.owner, f" @{DOMAIN.upper()} ", VIEWER)
    assert claim.record_name == RECORD
    assert claim.record_value.startswith("volary-domain-verification=")
    assert not await claims.may_join()
    told = f'there is no TXT record at {RECORD}: set a TXT record {RECORD} with the value "volary-'
    with pytest.raises(NotReadyError, match=told):
        await claims.domains.verify(claims.world.owner, DOMAIN)
    claims.server.texts[RECORD] = ["something", f"{claim.record_value}x"]
    with pytest.raises(NotReadyError, match=f"there is 2 other TXT records at {RECORD}"):
        await claims.domains.verify(claims.world.owner, DOMAIN)
    assert not await claims.may_join()

    claims.server.texts[RECORD] += ["y" * 600, claim.record_value]
    proven = await claims.domains.verify(claims.world.owner, DOMAIN)
    assert proven.proven_at == claims.world.clock.now()
    assert await claims.may_join()
    again = await claims.domains.verify(claims.world.owner, DOMAIN)
    assert again.proven_at == proven.proven_at
    assert (await claims.world.audited())[-2:] == ["email_domain.claim", "email_domain.verify"]


async def test_claim_keeps_its_record_and_changes_its_role(claims: Claims) -> None:
    await claims.prove()
    first = await claims.domains.list(claims.world.owner)
    changed = await claims.domains.claim(claims.world.owner, DOMAIN, ADMIN)
    assert changed.record_value == first[0].record_value
    user = await claims.world.log_in("bob", email=f"bob@{DOMAIN}")
    async with claims.world.database.for_fleet("test") as fleet:
        [joinable] = await users.list_joinable(fleet, user.id, DOMAIN)
    assert joinable.role == ADMIN


async def test_records_of_two_orgs_differ_and_prove_the_domain_to_each(claims: Claims) -> None:
    await claims.prove()
    await claims.world.orgs.create(claims.world.owner, OTHER)
    other = Caller(subject=Subject("user:x"), org=OTHER, name="", grants=org_wide(EVERYTHING))
    theirs = await claims.domains.claim(other, DOMAIN, VIEWER)
    assert theirs.record_value not in claims.server.texts[RECORD]
    with pytest.raises(NotReadyError):
        await claims.domains.verify(other, DOMAIN)
    claims.server.texts[RECORD].append(theirs.record_value)
    assert (await claims.domains.verify(other, DOMAIN)).proven_at
    assert len(await claims.domains.list(other)) == 1


async def test_person_of_a_domain_that_two_orgs_have_proven_chooses_between_them(
    claims: Claims,
) -> None:
    await claims.prove()
    await claims.world.orgs.create(claims.world.owner, OTHER)
    other = Caller(subject=Subject("user:x"), org=OTHER, name="", grants=org_wide(EVERYTHING))
    theirs = await claims.domains.claim(other, DOMAIN, VIEWER)
    claims.server.texts[RECORD].append(theirs.record_value)
    await claims.domains.verify(other, DOMAIN)
    bob = await claims.world.log_in("bob", email=f"bob@{DOMAIN}")
    joinable = await claims.world.invitations.list_joinable(bob)
    assert sorted(each.org for each in joinable) == sorted([ORG, OTHER])

    claims.server.texts[RECORD].remove(theirs.record_value)  # each has a record of its own
    for _ in range(5):
        claims.world.clock.advance(CHECKED_EVERY)
        await claims.check_due()
    assert [each.org for each in await claims.world.invitations.list_joinable(bob)] == [ORG]


@pytest.mark.parametrize("count", [40, 200])
async def test_record_in_an_answer_too_large_for_udp_is_found_over_tcp(
    claims: Claims, count: int
) -> None:
    claim = await claims.domains.claim(claims.world.owner, DOMAIN, VIEWER)
    others = [f"other-service-verification={number:060}" for number in range(count)]
    claims.server.texts[RECORD] = [claim.record_value, *others]
    assert (await claims.domains.verify(claims.world.owner, DOMAIN)).proven_at
    assert claims.server.asked == claims.server.asked_by_tcp == [RECORD]


async def test_truncated_answer_without_tcp_says_nothing_of_the_record(
    claims: Claims, monkeypatch: pytest.MonkeyPatch
) -> None:
    await claims.prove()
    claims.server.texts[RECORD] = [f"{number:090}" for number in range(40)]
    claims.server.has_tcp = False
    monkeypatch.setattr(outbound, "LOOKUP_SECONDS", 0.5)
    with pytest.raises(UnavailableError, match="try again"):
        await claims.domains.verify(claims.world.owner, DOMAIN)
    for _ in range(5):
        claims.world.clock.advance(CHECKED_EVERY)
        await claims.check_due()
    assert RECORD in claims.server.asked_by_tcp
    assert await claims.may_join()


async def test_claims_of_bad_domains_roles_and_callers_are_refused(claims: Claims) -> None:
    owner = claims.world.owner
    for domain, told in (
        ("gmail.com", "anyone can have an address of gmail.com"),
        ("nodots", "is not the domain of an e-mail address"),
        ("a..example", "is not the domain of an e-mail address"),
        ("x" * 100_000, r"^.{0,150}is not the domain of an e-mail address"),
        ("corp.example\0", "is not the domain of an e-mail address"),
    ):
        with pytest.raises(InvalidError, match=told):
            await claims.domains.claim(owner, domain, VIEWER)
    with pytest.raises(NotFoundError, match="role nowhere"):
        await claims.domains.claim(owner, DOMAIN, "nowhere")
    with pytest.raises(NotFoundError, match=r"claim of .*`volary email-domain claim corp.example`"):
        await claims.domains.verify(owner, DOMAIN)
    admin = await claims.world.join("admin", ADMIN)
    with pytest.raises(NotAllowedError, match="org:write"):
        await claims.domains.claim(admin, DOMAIN, OWNER)
    assert claims.server.asked == []


async def test_resolver_that_fails_or_is_silent_says_nothing_of_the_record(
    claims: Claims, monkeypatch: pytest.MonkeyPatch
) -> None:
    await claims.publish()
    claims.server.rcode = dns.rcode.SERVFAIL
    with pytest.raises(UnavailableError, match=f"look-up of {RECORD} failed .*; try again"):
        await claims.domains.verify(claims.world.owner, DOMAIN)
    claims.server.rcode = dns.rcode.NOERROR
    claims.server.is_silent = True
    monkeypatch.setattr(outbound, "LOOKUP_SECONDS", 0.2)
    with pytest.raises(UnavailableError, match="did not answer in time; try again"):
        await claims.domains.verify(claims.world.owner, DOMAIN)
    claims.server.is_silent = False
    await claims.domains.verify(claims.world.owner, DOMAIN)

    claims.server.rcode = dns.rcode.SERVFAIL
    for _ in range(10):
        claims.world.clock.advance(CHECKED_EVERY)
        await claims.check_due()
    assert await claims.may_join()
    [claim] = await claims.domains.list(claims.world.owner)
    assert claim.missing_since is None


async def test_record_is_looked_up_daily_and_joining_ends_when_it_is_missing_for_days(
    claims: Claims,
) -> None:
    await claims.prove()
    asked = len(claims.server.asked)
    claims.world.clock.advance(CHECKED_EVERY - timedelta(seconds=1))
    await claims.check_due()
    assert len(claims.server.asked) == asked
    claims.world.clock.advance(timedelta(seconds=1))
    await claims.check_due()
    assert len(claims.server.asked) == asked + 1

    kept = claims.server.texts.pop(RECORD)
    claims.world.clock.advance(CHECKED_EVERY)
    await claims.check_due()
    [missing] = await claims.domains.list(claims.world.owner)
    assert (missing.missing_since, missing.proven_at is None) == (claims.world.clock.now(), False)
    assert await claims.may_join()
    claims.server.texts[RECORD] = kept
    claims.world.clock.advance(CHECKED_AGAIN)
    await claims.check_due()
    assert [each.missing_since for each in await claims.domains.list(claims.world.owner)] == [None]

    del claims.server.texts[RECORD]
    for passed in (CHECKED_EVERY, MISSING_FOR):
        claims.world.clock.advance(passed)
        await claims.check_due()
    assert not await claims.may_join()
    [ended] = await claims.domains.list(claims.world.owner)
    assert (ended.proven_at, ended.missing_since) == (None, None)
    assert (await claims.world.audited())[-1] == "email_domain.expire"
    asked = len(claims.server.asked)
    claims.world.clock.advance(MISSING_FOR)
    await claims.check_due()
    assert len(claims.server.asked) == asked


async def test_forbidden_domain_loses_its_claim(claims: Claims) -> None:
    await claims.prove()
    await claims.world.orgs.forbid_email_domain(claims.world.owner, DOMAIN)
    assert not await claims.may_join()
    assert await claims.domains.list(claims.world.owner) == []
    claims.world.clock.advance(CHECKED_EVERY)
    await claims.check_due()
    with pytest.raises(NotFoundError):
        await claims.world.orgs.forbid_email_domain(claims.world.owner, DOMAIN)


def test_resolvers_are_configured_by_address() -> None:
    assert DnsSettings(servers=["127.0.0.1:53", "[::1]:5353"]).servers
    with pytest.raises(ValueError, match="use the resolver's IP address"):
        DnsSettings(servers=["resolver.example:53"])
