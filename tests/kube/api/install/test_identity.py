"""The agent's identity in a Secret: replicas read each other's, and none overwrites another's."""

from dataclasses import replace
from datetime import timedelta

import pytest

from dataplane.agent.kube.client import Kube
from dataplane.agent.kube.objects import Name
from dataplane.agent.link.channel import DialError
from dataplane.agent.link.identity import (
    Document,
    Identity,
    IdentityChangedError,
    IdentityError,
    parse_certificate,
    render_document,
)
from dataplane.agent.link.identity_secret import IdentitySecret
from dataplane.agent.main.identity import SharedIdentity
from dataplane.agent.settings import Settings
from shared.kit.certificates import issue, make_authority
from shared.kit.clock import SystemClock
from shared.kit.secrets import SecretBytes
from shared.kit.settings import read
from tests.running import running, until


def _document() -> Document:
    now = SystemClock().now()
    authority = make_authority("a test", now, lasts=timedelta(hours=1))
    pair = issue(authority, "agent", ["agent"], now, lasts=timedelta(hours=1)).pair
    held = parse_certificate(SecretBytes(pair.key), pair.certificate)
    return Document(org="acme", cluster="c1", certificates=(held,))


async def test_replica_that_writes_second_has_to_read_first(kube: Kube, place: str) -> None:
    name = Name(place, "volary-agent-proxy-identity")
    one, two = IdentitySecret(kube, name), IdentitySecret(kube, name)
    assert await one.load() is None
    assert await two.load() is None
    await one.save(b"first")
    with pytest.raises(IdentityChangedError):
        await two.save(b"lost")
    assert await two.load() == b"first"
    await two.save(b"second")
    with pytest.raises(IdentityChangedError):
        await one.save(b"lost")
    assert await one.load() == b"second"


async def test_damaged_secret_is_named(kube: Kube, place: str) -> None:
    name = Name(place, "volary-agent-proxy-identity")
    await IdentitySecret(kube, name).save(b"{}")
    credential = SharedIdentity(_settings(), kube, name, SystemClock())
    with pytest.raises(IdentityError, match=f"{name} holds no identity of an agent"):
        await credential.lead()


async def test_standby_follows_what_the_leader_writes(kube: Kube, place: str) -> None:
    name = Name(place, "volary-agent-proxy-identity")
    standby = SharedIdentity(_settings(), kube, name, SystemClock())
    with pytest.raises(DialError, match="not enrolled yet"):
        standby.key_pair()
    async with running(standby):
        store = IdentitySecret(kube, name)
        first = _document()
        await store.save(render_document(first))
        await until(lambda: _serial(standby) == first.certificates[0].serial, "the first")
        renewed = replace(first, certificates=(*_document().certificates, *first.certificates))
        await store.save(render_document(renewed))
        await until(lambda: _serial(standby) == renewed.certificates[0].serial, "the renewed one")
    leading = await standby.lead()
    assert isinstance(leading, Identity)
    assert leading.chosen == renewed.certificates[0]


def _serial(identity: SharedIdentity) -> str:
    try:
        pair = identity.key_pair()
    except DialError:
        return ""
    assert pair is not None
    return parse_certificate(SecretBytes(pair[0]), pair[1]).serial


def _settings() -> Settings:
    given = {
        "VOLARY_AGENT_RUNTIME": "process",
        "VOLARY_AGENT_DATA_DIR": "/nowhere",
        "VOLARY_AGENT_CONTROL_PLANE": "127.0.0.1:1",
    }
    return read(Settings, given)
