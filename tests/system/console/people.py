"""People of an org with logins: its owner, and a member for each built-in role."""

import re
import uuid
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from playwright.async_api import Page, Request, expect

from tests.browsers import Person, chromium, person_at
from tests.servers import volary
from tests.servers.oidc_provider import OidcProviderForTests
from tests.system.commands import DOMAIN, PROJECT

ROLES = ("admin", "contributor", "viewer")
GUEST = "guest"  # who has a role in one project only

_CALL = """async ([rpc, body]) => {
  const headers = {"content-type": "application/json"};
  const answer = await fetch("/" + rpc, {method: "POST", headers, body: JSON.stringify(body)});
  return [answer.status, await answer.json()];
}"""


def email_of(role: str) -> str:
    return f"{role}@example.com"


async def call(page: Page, rpc: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """Call the API from a page of the console, as the person who is logged in there."""
    status, answer = await page.evaluate(_CALL, [rpc, dict(body)])
    assert status == 200, answer
    return dict(answer)


class Account(ABC):
    """Someone with a login, whose session outlives a single test."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._session: Any = None

    @asynccontextmanager
    async def browser(self, pictures: Path, *, keep: bool = True) -> AsyncIterator[Person]:
        """
        A browser of theirs; without ``keep`` it has a session of its own, which the test may end.

        The block fails if a page breaks the policy, logs an error, or makes a request that fails.
        """
        async with chromium() as browser, person_at(browser, pictures) as person:
            failed: list[str] = []
            person.page.on("requestfailed", lambda request: failed.extend(_fault(request)))
            if self._session is None or not keep:
                await self.log_in(person.page)
                if keep:
                    self._session = await person.page.context.cookies()
            else:
                await person.page.context.add_cookies(self._session)
            yield person
            errors = person.errors_at(self.url)  # the provider's pages want fonts of the internet
            assert errors == [], errors
            ours = [each for each in failed if each.startswith(self.url)]
            assert ours == [], ours

    @abstractmethod
    async def log_in(self, page: Page) -> None: ...


def _fault(request: Request) -> list[str]:
    """Say what failed, unless the page itself gave it up, as it does with a stream when it goes."""
    reason = request.failure or ""
    return [] if "ERR_ABORTED" in reason else [f"{request.url}: {reason}"]


class Owner(Account):
    """The owner of the org ``local``, who comes by the link that ``volary up`` printed."""

    def __init__(self, url: str, up: volary.VolaryUp) -> None:
        super().__init__(url)
        self.up = up

    async def log_in(self, page: Page) -> None:
        found = re.search(r"https://\S+/join\?invitation=\S+", self.up.output())
        assert found is not None, self.up.output()
        await page.goto(found[0])
        await (
            page.get_by_role("button", name="Log in by this link")
            .or_(page.get_by_role("link", name="Log in by this link"))
            .click()
        )
        await page.wait_for_url(re.compile(r"/(orgs|v2)"))


class Member(Account):
    """A person who was invited with a role, and logs in at the identity provider."""

    def __init__(self, url: str, role: str, link: str, provider: OidcProviderForTests) -> None:
        super().__init__(url)
        self.role = role
        self._link = link
        self._provider = provider
        self._has_joined = False

    async def log_in(self, page: Page) -> None:
        if self._has_joined:
            await page.goto(f"{self.url}/login")
            await self.log_in_again(page)
            await page.wait_for_url(re.compile(r"/(orgs|v2)"))
            return
        await page.goto(self._link)
        await page.get_by_role("link", name=re.compile("Team login")).click()
        await self._provider.log_in_at(page, self.role)
        await page.get_by_role("button", name="Join").click()
        await page.wait_for_url(re.compile(r"/(orgs|v2)"))
        self._has_joined = True

    async def log_in_again(self, page: Page) -> None:
        """Log in at a login page, at the provider too."""
        await page.context.clear_cookies(domain="127.0.0.1")  # the provider's own session
        await page.get_by_role("link", name=re.compile("Team login")).click()
        await self._provider.log_in_at(page, self.role)


class Team:
    """Members by role, and a guest; they are invited when they are first asked for."""

    def __init__(self, owner: Owner, provider: OidcProviderForTests) -> None:
        self._owner = owner
        self._provider = provider
        self._members: dict[str, Member] = {}

    async def member(self, role: str, pictures: Path) -> Member:
        if role not in self._members:
            async with self._owner.browser(pictures) as person:
                where = {"project": PROJECT, "domain": DOMAIN} if role == GUEST else {}
                link = await self._invite(person.page, role, where)
            self._members[role] = Member(self._owner.url, role, link, self._provider)
        return self._members[role]

    async def _invite(self, page: Page, account: str, where: Mapping[str, str]) -> str:
        await page.goto(f"{self._owner.url}/v2/admin/members")
        await expect(page.get_by_role("heading", level=1)).to_be_visible()
        made = await call(
            page,
            "volary.platform.v1.InvitationService/CreateInvitation",
            {
                "requestId": str(uuid.uuid4()),
                "role": "viewer" if account == GUEST else account,
                "email": email_of(account),
                **where,
            },
        )
        return str(made["link"])
