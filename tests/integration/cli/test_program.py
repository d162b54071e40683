"""The command line against the program that is deployed: with logins and TLS, by an API key."""

import base64
import secrets
import ssl
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx
import pytest

from tests.integration.cli.world import Person
from tests.integration.replicas.world import context
from tests.kube.certificates import Authority
from tests.ports import free_ports
from tests.programs import Program
from tests.running import until
from tests.servers.postgres import DatabaseForTest


@dataclass(frozen=True, slots=True)
class ControlPlane:
    program: Program
    url: str
    authority: Path


@pytest.fixture
def controlplane(test_database: DatabaseForTest, tmp_path: Path) -> Iterator[ControlPlane]:
    authority = Authority(tmp_path / "authority")
    own = authority.issue("server", reached_at=["localhost"])
    http, link = free_ports(2)
    url = f"https://localhost:{http}"
    program = Program(
        "controlplane",
        [sys.executable, "-m", "controlplane.cli", "controlplane", "serve"],
        logs=tmp_path,
        environment={
            **context(tmp_path),
            "VOLARY_DATABASE_URL": test_database.url,
            "VOLARY_BLOB_BASE": (tmp_path / "blobs").as_uri(),
            "VOLARY_BLOB_SIGNING_KEY": "k" * 32,
            "VOLARY_CLUSTER_TOKEN": "the-token-of-a-cluster-of-tests",
            "VOLARY_HTTP_PORT": str(http),
            "VOLARY_LINK_PORT": str(link),
            "VOLARY_PUBLIC_URL": url,
            "VOLARY_AUTH": "oidc",
            "VOLARY_SEALING_KEY": base64.b64encode(secrets.token_bytes(32)).decode(),
            "VOLARY_TLS_CERT_FILE": str(own.certificate),
            "VOLARY_TLS_KEY_FILE": str(own.key),
        },
    )
    try:
        program.start()
        program.wait_until(partial(_is_ready, url, authority.certificate), "ready", within=60)
        yield ControlPlane(program, url, authority.certificate)
    finally:
        if program.is_running:
            program.end()


def _is_ready(url: str, authority: Path) -> bool:
    try:
        trusted = ssl.create_default_context(cafile=authority)
        return httpx.get(f"{url}/readyz", verify=trusted).status_code == 200
    except httpx.TransportError:
        return False


async def test_first_key_is_made_on_the_database_and_used_until_it_is_revoked(
    controlplane: ControlPlane, test_database: DatabaseForTest, tmp_path: Path
) -> None:
    person = Person(tmp_path / "home", controlplane.authority)
    direct = {"VOLARY_DATABASE_URL": test_database.url, "VOLARY_PUBLIC_URL": controlplane.url}
    as_json = ("--output", "json")
    made = await person.run("service-account", "create", "ci", *as_json, **direct)
    account = made.json["serviceAccount"]["id"]
    bound = await person.run("role", "bind", "admin", "--service-account", account, **direct)
    assert bound.code == 0, bound.err
    created = await person.run("apikey", "create", account, *as_json, **direct)
    remote = {
        "VOLARY_API_KEY": created.json["secret"]["apiKey"],
        "VOLARY_URL": controlplane.url,
        "VOLARY_CA_FILE": str(controlplane.authority),
    }

    who = await person.run("whoami", *as_json, **remote)
    assert (who.json["subject"], who.json["org"]) == (f"serviceaccount:{account}", "local")
    queue = await person.run("queue", "set", "gpu", "--pool", "gpus", *as_json, **remote)
    shown = await person.run("queue", "show", "gpu", *as_json, **direct)
    assert queue.json == shown.json
    acts = await person.run("audit", "list", "--target", "queue:gpu", *as_json, **remote)
    assert [each["actor"] for each in acts.json["records"]] == [f"serviceaccount:{account}"]

    key = created.json["apiKey"]["id"]
    assert (await person.run("apikey", "revoke", key, "--yes", **direct)).code == 0

    async def is_refused() -> bool:
        return (await person.run("queue", "list", **remote)).code == 4

    await until(is_refused, "the key is refused")
