"""Sealed values open with their key and purpose, and in no other way."""

import base64

import pytest
from hypothesis import given, strategies

from controlplane.authn.sealing import Sealer, SealError, parse_sealing_keys
from shared.kit.secrets import SecretBytes

OLD, NEW = SecretBytes(b"o" * 32), SecretBytes(b"n" * 32)
VALUE = SecretBytes(b"private key")


def test_sealed_value_opens_with_the_same_key_and_purpose() -> None:
    sealed = Sealer([OLD]).seal(VALUE, "signing key")
    assert VALUE.reveal() not in sealed
    assert Sealer([OLD]).open(sealed, "signing key") == VALUE


def test_sealing_twice_gives_two_texts() -> None:
    sealer = Sealer([OLD])
    assert sealer.seal(VALUE, "signing key") != sealer.seal(VALUE, "signing key")


def test_sealed_value_of_another_purpose_does_not_open() -> None:
    sealer = Sealer([OLD])
    with pytest.raises(SealError, match="the client secret in the database was altered"):
        sealer.open(sealer.seal(VALUE, "signing key"), "client secret")


def test_sealed_value_of_another_key_names_the_setting() -> None:
    with pytest.raises(SealError, match=r"sealed with another key.*VOLARY_SEALING_KEY"):
        Sealer([NEW]).open(Sealer([OLD]).seal(VALUE, "signing key"), "signing key")


def test_key_rotation_opens_old_values_and_seals_with_the_first_key() -> None:
    old, both = Sealer([OLD]), Sealer([NEW, OLD])
    sealed = old.seal(VALUE, "signing key")
    assert both.open(sealed, "signing key") == VALUE
    assert not both.is_current(sealed)
    again = both.seal(VALUE, "signing key")
    assert both.is_current(again)
    assert Sealer([NEW]).open(again, "signing key") == VALUE


def test_digest_stays_when_a_key_is_added_in_front() -> None:
    digest = Sealer([OLD]).digest("BCDF-GHJK", "user code")
    assert digest == Sealer([NEW, OLD]).digest("BCDF-GHJK", "user code")
    assert digest != Sealer([NEW]).digest("BCDF-GHJK", "user code")
    assert digest != Sealer([OLD]).digest("BCDF-GHJK", "other code")


@given(strategies.data())
def test_altered_value_does_not_open(data: strategies.DataObject) -> None:
    sealer = Sealer([OLD])
    sealed = bytearray(sealer.seal(VALUE, "signing key"))
    place = data.draw(strategies.integers(0, len(sealed) - 1))
    sealed[place] ^= data.draw(strategies.integers(1, 255))
    with pytest.raises(SealError):
        sealer.open(bytes(sealed), "signing key")


@given(strategies.binary(max_size=80))
def test_arbitrary_bytes_do_not_open(sealed: bytes) -> None:
    with pytest.raises(SealError):
        Sealer([OLD]).open(sealed, "signing key")


def test_keys_are_parsed_from_either_base64_alphabet() -> None:
    key = bytes(range(224, 256))
    standard, safe = base64.b64encode(key).decode(), base64.urlsafe_b64encode(key).decode()
    assert parse_sealing_keys(f"{standard}, {safe}") == (SecretBytes(key), SecretBytes(key))


@pytest.mark.parametrize("text", ["", "short", base64.b64encode(b"k" * 31).decode(), "é" * 44])
def test_invalid_key_is_refused_without_quoting_it(text: str) -> None:
    with pytest.raises(ValueError, match="is not 32 random bytes in Base64") as refused:
        parse_sealing_keys(text)
    assert not text or text not in str(refused.value)


def test_sealer_needs_a_key_of_the_right_length() -> None:
    for keys in ([], [SecretBytes(b"short")]):
        with pytest.raises(ValueError, match="one or more keys of 32 bytes"):
            Sealer(keys)
