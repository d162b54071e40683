"""The console calls the API with the cookie of a person's session; no other site's page does."""

from datetime import timedelta

import httpx
import pytest

from controlplane.core.browser_sessions import IDLE
from controlplane.core.callers import Subject
from controlplane.core.identity import find_user_id
from controlplane.core.roles import VIEWER
from controlplane.store.credentials.revocations import list_revoked
from controlplane.store.identity import members
from controlplane.usecases.identity.users import Users
from shared.model.ids import OrgName
from tests.factories import ORG
from tests.fakes.clock import FakeClock
from tests.integration.people.world import PUBLIC_URL, BrowserForTests, World

pytestmark = pytest.mark.usefixtures("page")

PAGE = {"sec-fetch-site": "same-origin", "origin": PUBLIC_URL}


async def call(browser: BrowserForTests, **headers: str) -> httpx.Response:
    return await browser.ours.post(
        "/flyteidl2.auth.IdentityService/UserInfo",
        json={},
        headers={key.replace("_", "-"): value for key, value in headers.items()} or PAGE,
    )


@pytest.fixture
async def page(world: World, browser: BrowserForTests) -> httpx.Response:
    """The first page of the org's owner, who has logged in."""
    return await browser.submit(await browser.open(await world.owner_link()), "owner")


async def test_session_of_a_browser_calls_the_api(browser: BrowserForTests) -> None:
    answer = await call(browser)
    assert answer.status_code == 200, answer.text
    assert answer.json()["subject"].startswith("user:")


@pytest.mark.parametrize(
    "headers",
    [
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
        {"sec_fetch_site": "none"},
        {"origin": "https://evil.example"},
        {"origin": "https://x.volary.example", "sec_fetch_site": "same-site"},
        {"accept": "*/*"},
    ],
    ids=str,
)
async def test_call_with_a_session_that_no_page_of_ours_made_is_refused(
    browser: BrowserForTests, headers: dict[str, str]
) -> None:
    answer = await call(browser, **headers)
    assert answer.status_code in {401, 403}, answer.text


async def test_access_token_counts_before_the_session(browser: BrowserForTests) -> None:
    answer = await call(browser, authorization="Bearer none", sec_fetch_site="same-origin")
    assert answer.status_code == 401


async def test_session_that_was_ended_calls_no_more_and_ends_its_streams(
    world: World, page: httpx.Response, browser: BrowserForTests, clock: FakeClock
) -> None:
    assert (await call(browser)).status_code == 200
    begun = clock.now()
    await browser.submit(page, "logout")
    async with world.database.for_fleet("test") as tx:
        revoked = await list_revoked(tx, begun)
    assert [each.kind for each in revoked] == ["browser_session"]  # what streams are ended by
    world.authorization.revocations.add(revoked, clock.now())
    answer = await call(browser)
    assert answer.status_code == 401


async def test_session_that_was_not_used_for_long_calls_no_more(
    world: World, browser: BrowserForTests, clock: FakeClock
) -> None:
    assert (await call(browser)).status_code == 200
    clock.advance(IDLE + timedelta(seconds=1))
    world.authorization.revocations.add([], clock.now())
    answer = await call(browser)
    assert answer.status_code == 401
    assert "log in" in answer.text


async def test_member_who_was_removed_calls_no_more(world: World, browser: BrowserForTests) -> None:
    subject = (await call(browser)).json()["subject"]
    user = find_user_id(Subject(subject))
    assert user is not None
    async with world.database.for_org(ORG) as tx:
        await members.remove_member(tx, user)
    world.authorization.callers.forget(ORG, [Subject(subject)])
    answer = await call(browser)
    assert answer.status_code == 401
    assert "no member" in answer.text


async def test_call_is_in_the_org_that_was_chosen_a_moment_ago(
    world: World, browser: BrowserForTests, clock: FakeClock
) -> None:
    before = (await call(browser)).json()
    assert before["additionalClaims"]["org"] == ORG
    other = OrgName("other")
    await world.owner_link(other)  # makes the org
    user = find_user_id(Subject(before["subject"]))
    assert user is not None
    found = await Users(world.database, clock).find(user)
    assert found is not None
    async with world.database.for_org(other) as tx:
        await members.add_member(tx, found, VIEWER, source="test", now=clock.now())
    await browser.submit(await browser.open("/orgs"), "choose", org=other)
    assert (await call(browser)).json()["additionalClaims"]["org"] == other
