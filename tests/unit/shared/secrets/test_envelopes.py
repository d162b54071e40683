import logging
import subprocess
import sys
from dataclasses import replace

import pytest

from shared.kit.secrets import SecretBytes
from shared.model.ids import OrgName
from shared.model.secrets import SecretName
from shared.secrets.envelopes import EnvelopeError, KeyringEnvelopes, KeyUnavailableError
from shared.secrets.key_pairs import make_private_key
from shared.secrets.keyrings import AesKey

NAME = SecretName(org=OrgName("acme"), project="shop", domain="production", name="db-password")
OF_ORG = SecretName(org=OrgName("acme"), name="db-password")
VALUE = SecretBytes(b"correct horse battery staple")
KEY = AesKey(SecretBytes(bytes(range(32))))
OTHER_KEY = AesKey(SecretBytes(bytes(32)))


def aes(*keys: AesKey) -> KeyringEnvelopes:
    return KeyringEnvelopes(keys[:1], keys)


@pytest.mark.parametrize("name", [NAME, OF_ORG, replace(NAME, project="")])
@pytest.mark.parametrize(
    "value", [VALUE, SecretBytes(bytes(range(256))), SecretBytes(b"x" * 10**6)]
)
async def test_envelope_opens_for_the_name_it_was_sealed_for(
    name: SecretName, value: SecretBytes
) -> None:
    envelope = await aes(KEY).seal(name, value, version=1)

    assert await aes(KEY).open(name, envelope) == value
    assert value.reveal()[:64] not in envelope


@pytest.mark.parametrize(
    "other",
    [
        replace(NAME, org=OrgName("other")),
        replace(NAME, project="web"),
        replace(NAME, domain="staging"),
        replace(NAME, name="db_password"),
        replace(NAME, project=""),
        OF_ORG,
        replace(NAME, project="production", domain="shop"),
    ],
)
async def test_envelope_of_another_secret_is_refused(other: SecretName) -> None:
    envelope = await aes(KEY).seal(NAME, VALUE, version=1)

    with pytest.raises(EnvelopeError, match="does not open"):
        await aes(KEY).open(other, envelope)


async def test_envelope_keeps_no_part_of_its_required_name() -> None:
    envelope = await aes(KEY).seal(NAME, VALUE, version=7)

    assert b"shop" not in envelope
    assert b"db-password" not in envelope


async def test_envelope_is_refused_with_another_key() -> None:
    envelope = await aes(KEY).seal(NAME, VALUE, version=1)

    with pytest.raises(
        EnvelopeError, match=r"secret db-password of project shop, domain production"
    ):
        await aes(OTHER_KEY).open(NAME, envelope)


async def test_altered_and_cut_envelopes_are_refused(caplog: pytest.LogCaptureFixture) -> None:
    envelope = await aes(KEY).seal(NAME, VALUE, version=1)

    for at in range(0, len(envelope), 7):
        altered = bytearray(envelope)
        altered[at] ^= 1
        with pytest.raises(EnvelopeError):
            await aes(KEY).open(NAME, bytes(altered))
        with pytest.raises(EnvelopeError):
            await aes(KEY).open(NAME, envelope[:at])
    assert not [each for each in caplog.records if each.levelno >= logging.WARNING]


async def test_key_put_before_an_old_one_seals_and_both_open() -> None:
    old = await aes(KEY).seal(NAME, VALUE, version=1)

    rotated = aes(OTHER_KEY, KEY)
    new = await rotated.seal(NAME, VALUE, version=1)

    assert await rotated.open(NAME, old) == VALUE
    assert await aes(OTHER_KEY).open(NAME, new) == VALUE
    with pytest.raises(EnvelopeError):
        await aes(KEY).open(NAME, new)


async def test_envelope_is_opened_by_its_clusters_alone() -> None:
    first, second, stranger = (make_private_key() for _ in range(3))
    sealer = KeyringEnvelopes([first.public, second.public])

    envelope = await sealer.seal(NAME, VALUE, version=3)

    for key in (first, second):
        assert await KeyringEnvelopes(openers=[key]).open(NAME, envelope) == VALUE
    with pytest.raises(EnvelopeError):
        await KeyringEnvelopes(openers=[stranger]).open(NAME, envelope)
    with pytest.raises(EnvelopeError):
        await sealer.open(NAME, envelope)
    with pytest.raises(EnvelopeError):
        await KeyringEnvelopes(openers=[second]).open(OF_ORG, envelope)


async def test_new_key_pair_opens_what_the_old_one_did() -> None:
    old, new = make_private_key(), make_private_key()
    envelope = await KeyringEnvelopes([old.public]).seal(NAME, VALUE, version=1)

    assert await KeyringEnvelopes(openers=[new, old]).open(NAME, envelope) == VALUE


async def test_sealing_without_a_key_is_refused() -> None:
    with pytest.raises(KeyUnavailableError):
        await KeyringEnvelopes().seal(NAME, VALUE, version=1)


def test_library_is_not_imported_before_the_first_secret() -> None:
    program = (
        "import sys, shared.secrets.envelopes, shared.secrets.keyrings; "
        "assert not {'aws_encryption_sdk', 'botocore', 'boto3'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)  # noqa: S603
