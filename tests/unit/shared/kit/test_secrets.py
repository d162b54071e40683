"""Secrets do not show in what is printed."""

import copy
import hashlib
import pickle
import re

import pytest

from shared.kit.secrets import SecretBytes, SecretText, digest_of, new_secret


@pytest.mark.parametrize("secret", [SecretText("s3cr3t"), SecretBytes(b"s3cr3t")])
def test_secret_shows_as_stars_in_every_format(secret: SecretText | SecretBytes) -> None:
    shown = f"{secret} {secret!r} {[secret]} {secret!s:>10}"
    assert "s3cr3t" not in shown
    assert "***" in shown
    assert secret.reveal() in ("s3cr3t", b"s3cr3t")


def test_secret_refuses_to_be_pickled() -> None:
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(SecretText("s3cr3t"))
    with pytest.raises(TypeError, match="not pickled"):
        copy.copy(SecretText("s3cr3t"))


def test_secrets_are_equal_by_value_and_kind() -> None:
    assert SecretText("é") == SecretText("é")
    assert SecretText("a") != SecretText("b")
    assert SecretText("a") != "a"
    assert SecretText("a") != SecretBytes(b"a")
    assert len({SecretText("a"), SecretText("a"), SecretBytes(b"a")}) == 2
    assert not SecretText("")


def test_new_secret_has_256_bits_in_url_safe_characters() -> None:
    made = {new_secret() for _ in range(100)}
    assert len(made) == 100
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{43}", each.reveal()) for each in made)


def test_digest_of_a_secret_is_its_sha256() -> None:
    assert digest_of(SecretText("a")) == digest_of(SecretBytes(b"a"))
    assert digest_of(SecretText("a")) == hashlib.sha256(b"a").digest()
