"""Envelopes sealed with AWS KMS, against moto's server: the calls are real, the denials are not."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace

import boto3
import pytest
from moto.server import ThreadedMotoServer

from shared.kit.secrets import SecretBytes
from shared.model.ids import OrgName
from shared.model.secrets import SecretName
from shared.secrets.envelopes import EnvelopeError, KeyringEnvelopes, KeyUnavailableError
from shared.secrets.keyrings import AesKey, KmsKey

REGION = "eu-central-1"
NAME = SecretName(org=OrgName("acme"), project="shop", domain="production", name="token")
VALUE = SecretBytes(b"canary-kms")
AES = AesKey(SecretBytes(b"k" * 32))


@dataclass(frozen=True, slots=True)
class Kms:
    endpoint: str

    def make_key(self) -> KmsKey:
        client = boto3.client("kms", region_name=REGION, endpoint_url=self.endpoint)
        arn = client.create_key()["KeyMetadata"]["Arn"]
        client.close()
        return KmsKey(arn, REGION, self.endpoint)


@pytest.fixture
def kms(monkeypatch: pytest.MonkeyPatch) -> Iterator[Kms]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield Kms(f"http://{host}:{port}")
    server.stop()


def both(*keys: KmsKey | AesKey) -> KeyringEnvelopes:
    return KeyringEnvelopes(keys[:1], keys)


async def test_kms_opens_what_it_sealed_for_the_same_name(kms: Kms) -> None:
    key = kms.make_key()

    envelope = await both(key).seal(NAME, VALUE, version=1)

    assert await both(key).open(NAME, envelope) == VALUE
    assert VALUE.reveal() not in envelope
    for other in (replace(NAME, name="other"), replace(NAME, project="", domain="")):
        with pytest.raises(EnvelopeError):
            await both(key).open(other, envelope)


async def test_kms_key_of_another_installation_opens_nothing(kms: Kms) -> None:
    envelope = await both(kms.make_key()).seal(NAME, VALUE, version=1)

    with pytest.raises(EnvelopeError):
        await both(kms.make_key()).open(NAME, envelope)


async def test_secrets_move_from_a_key_file_to_kms_while_both_open(kms: Kms) -> None:
    key = kms.make_key()
    old = await both(AES).seal(NAME, VALUE, version=1)

    moving = both(key, AES)
    new = await moving.seal(NAME, await moving.open(NAME, old), version=1)

    assert await both(key).open(NAME, new) == VALUE
    with pytest.raises(EnvelopeError):
        await both(AES).open(NAME, new)


async def test_kms_that_does_not_answer_is_unavailable_and_named(kms: Kms) -> None:
    key = kms.make_key()
    envelope = await both(key).seal(NAME, VALUE, version=1)
    gone = replace(key, endpoint="http://127.0.0.1:9")

    for attempt in (both(gone).seal(NAME, VALUE, version=1), both(gone).open(NAME, envelope)):
        with pytest.raises(KeyUnavailableError, match="KMS") as refused:
            await attempt
        assert VALUE.reveal().decode() not in json.dumps(str(refused.value))
