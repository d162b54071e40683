"""``volary login``, ``whoami`` and ``logout`` against a control plane with logins, over TLS."""

import asyncio
import base64
import re
import signal
import stat

import httpx
import pytest

from shared.kit.secrets import SecretText
from tests.integration.cli.world import Person, finish, read_until
from tests.integration.oauth.service import Service
from tests.integration.oauth.world import ADA, API_KEY, API_SECRET, SERVICE, form_fields
from tests.running import until

TOKEN = "/oauth2/token"  # noqa: S105 - a path
USER_INFO = "/flyteidl2.auth.IdentityService/UserInfo"


def key_for(host: str) -> str:
    return base64.b64encode(f"{host}:{API_KEY}:{API_SECRET}:acme".encode()).decode()


def person_of(service: Service) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(service.world.application)
    return httpx.AsyncClient(transport=transport, base_url=service.address)


async def test_login_in_a_browser_is_kept_for_the_next_commands(
    service: Service, person: Person
) -> None:
    done = await person.log_in(service.address)
    assert done.code == 0, done.err
    assert f"Logged in to {service.address} as {ADA} in org acme" in done.err
    name = f"acme@{service.address.removeprefix('https://')}"
    assert (await person.run("whoami", "--output", "json")).json == {
        "url": service.address,
        "org": "acme",
        "subject": ADA,
        "name": ADA,
        "context": name,
    }
    assert stat.S_IMODE(person.config.stat().st_mode) == 0o600
    assert stat.S_IMODE(person.config.parent.stat().st_mode) == 0o700
    kept = person.stored["contexts"][name]
    for secret in (kept["access_token"], kept["refresh_token"]):
        assert secret not in done.out + done.err


async def test_login_that_is_denied_ends_with_a_sentence(service: Service, person: Person) -> None:
    done = await person.log_in(service.address, decision="deny")
    assert done.code == 1
    assert "the login failed: it was not allowed in the browser" in done.err
    assert not person.config.exists()


async def test_machine_without_a_browser_shows_a_code_instead(
    service: Service, person: Person
) -> None:
    process = await person.start("login", service.address, "--ca-file", str(service.authority))
    shown = await read_until(process, r"enter the code \S+\n")
    assert "There is no browser on this machine." in shown
    [code] = re.findall(r"[A-Z]{4}-[A-Z]{4}", shown)
    assert f"{service.address}/device" in shown
    async with person_of(service) as http:
        http.cookies.set("person", "ada")
        fields = {**form_fields(await http.get("/device")), "user_code": code}
        await http.post("/device", data={**fields, "decision": "allow"})
    done = await finish(process)
    assert done.code == 0, done.err
    assert (await person.run("whoami", "--output", "json")).json["subject"] == ADA


async def test_api_key_needs_no_login_and_writes_no_file(service: Service, person: Person) -> None:
    key = {"VOLARY_API_KEY": key_for("localhost"), "VOLARY_CA_FILE": str(service.authority)}
    done = await person.run("whoami", "--output", "json", VOLARY_URL=service.address, **key)
    assert (done.json["subject"], done.json["org"]) == (SERVICE, "acme")
    assert not person.config.parent.exists()


@pytest.mark.parametrize(
    ("key", "error"),
    [
        (key_for("elsewhere.example"), "the API key is for elsewhere.example"),
        ("no-key", "not in the form that `volary apikey create` prints"),
        (key_for("localhost").replace("a", "b", 1), ""),
    ],
    ids=["another host", "no key", "changed"],
)
async def test_refused_api_key_is_not_shown(
    service: Service, person: Person, key: str, error: str
) -> None:
    done = await person.run(
        "whoami",
        VOLARY_URL=service.address,
        VOLARY_API_KEY=key,
        VOLARY_CA_FILE=str(service.authority),
    )
    assert done.code in {1, 4}
    assert error in done.err
    assert "Traceback" not in done.err
    assert API_SECRET not in done.err
    assert key not in done.err


async def test_commands_that_need_a_new_token_at_once_refresh_once(
    service: Service, person: Person
) -> None:
    await person.log_in(service.address)
    assert service.grants() == 1
    service.withdraw_access_tokens()
    service.held[TOKEN] = asyncio.Event()
    processes = [await person.start("whoami") for _ in range(4)]
    await until(lambda: service.requests[USER_INFO] == 4, "every command was refused")
    await until(lambda: service.requests[TOKEN] == 2, "one command refreshes")
    service.held[TOKEN].set()
    for done in [await finish(process) for process in processes]:
        assert (done.code, ADA in done.out) == (0, True), done.err
    assert (service.grants(), service.grants("invalid_grant")) == (2, 0)


async def test_interrupted_refresh_stores_the_new_token_first(
    service: Service, person: Person
) -> None:
    await person.log_in(service.address)
    [before] = person.stored["contexts"].values()
    service.withdraw_access_tokens()
    service.held[TOKEN] = asyncio.Event()
    process = await person.start("whoami")
    await until(lambda: service.requests[TOKEN] == 2, "the command refreshes")
    process.send_signal(signal.SIGTERM)
    service.held[TOKEN].set()
    done = await finish(process)
    assert done.code == -signal.SIGTERM
    [after] = person.stored["contexts"].values()
    assert after["refresh_token"] != before["refresh_token"]
    assert (await person.run("whoami")).code == 0


async def test_login_that_has_ended_says_how_to_log_in(service: Service, person: Person) -> None:
    await person.log_in(service.address)
    [kept] = person.stored["contexts"].values()
    families = service.world.families
    family = await families.find(SecretText(kept["refresh_token"]))
    assert family is not None
    await families.revoke(family.id, "a test")
    await service.world.read_revocations()
    done = await person.run("whoami")
    assert done.code == 4
    assert f"run `volary login {service.address}`" in done.err
    assert kept["refresh_token"] not in done.err


async def test_logout_ends_the_login_at_the_control_plane(service: Service, person: Person) -> None:
    await person.log_in(service.address)
    [kept] = person.stored["contexts"].values()
    done = await person.run("logout")
    assert done.code == 0, done.err
    assert person.stored["contexts"] == {}
    assert await service.world.families.find_valid(SecretText(kept["refresh_token"])) is None
    assert (await person.run("whoami")).code == 4
    assert (await person.run("logout")).code == 4


async def test_second_login_replaces_the_first_and_ends_it(
    service: Service, person: Person
) -> None:
    await person.log_in(service.address)
    [first] = person.stored["contexts"].values()
    await person.log_in(service.address)
    [second] = person.stored["contexts"].values()
    families = service.world.families
    assert await families.find_valid(SecretText(first["refresh_token"])) is None
    assert await families.find_valid(SecretText(second["refresh_token"])) is not None


async def test_login_that_could_not_be_kept_is_not_begun(service: Service, person: Person) -> None:
    done = await person.run("login", service.address, XDG_CONFIG_HOME="/proc")
    assert done.code == 1
    assert "/proc/volary/config.lock cannot be made" in done.err
    assert service.requests == {}


async def test_login_to_another_org_than_the_named_one_is_not_kept(
    service: Service, person: Person
) -> None:
    done = await person.log_in(service.address, "--org", "globex")
    assert done.code == 1
    assert "the login is for org acme, not globex" in done.err
    assert not person.config.exists()


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
async def test_stopped_login_leaves_no_file(
    service: Service, person: Person, sent: signal.Signals
) -> None:
    process = await person.start(
        *("login", service.address, "--ca-file", str(service.authority)), BROWSER="true"
    )
    await read_until(process, "code_challenge_method")
    process.send_signal(sent)
    done = await finish(process)
    assert done.code == (130 if sent is signal.SIGINT else -sent)
    assert "Traceback" not in done.err
    assert not person.config.exists()


async def test_logins_are_chosen_by_name_url_and_org(service: Service, person: Person) -> None:
    await person.log_in(service.address, "--context", "one")
    await person.log_in(service.address, "--context", "two")
    listed = (await person.run("context", "list", "--output", "json")).json["contexts"]
    assert [(each["name"], each["current"]) for each in listed] == [("one", False), ("two", True)]
    assert (await person.run("context", "use", "one")).code == 0
    chosen = {
        (): "one",
        ("--context", "two"): "two",
        ("--url", service.address): "one",
        ("--org", "acme"): "one",
    }
    for options, name in chosen.items():
        done = await person.run("whoami", "--output", "json", *options)
        assert done.json["context"] == name
    for options in (("--org", "globex"), ("--context", "three")):
        assert (await person.run("whoami", *options)).code == 4
