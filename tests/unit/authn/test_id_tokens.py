"""ID tokens: the one that is right, and every way in which a token is not for this login."""

import base64
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, OctKey, RSAKey

from controlplane.authn.oidc.id_tokens import UnknownKeyError, verify_id_token
from controlplane.core.identity_providers import ProviderRefusedError
from shared.kit.secrets import SecretText

NOW = datetime(2026, 11, 29, tzinfo=UTC)
ISSUER, CLIENT, NONCE = "https://provider.example", "volary", SecretText("the-nonce")
ACCESS_TOKEN = "the-access-token"  # noqa: S105
RSA = RSAKey.generate_key(2048, {"kid": "rsa"})
EC = ECKey.generate_key("P-256", {"kid": "ec"})
STRANGER = RSAKey.generate_key(2048, {"kid": "rsa"})
KEYS = KeySet([
    RSAKey.import_key(RSA.as_dict(private=False)),
    ECKey.import_key(EC.as_dict(private=False)),
])  # fmt: skip


def at(delta: timedelta) -> int:
    return int((NOW + delta).timestamp())


def claims(**changed: Any) -> dict[str, Any]:
    usual: dict[str, Any] = {
        "iss": ISSUER,
        "aud": CLIENT,
        "sub": "ada",
        "exp": at(timedelta(minutes=5)),
        "iat": at(timedelta()),
        "nonce": NONCE.reveal(),
    }
    return {name: value for name, value in {**usual, **changed}.items() if value is not None}


def sign(payload: Mapping[str, Any], key: Any = RSA) -> str:
    algorithm = "ES256" if isinstance(key, ECKey) else "RS256"
    head = {"alg": algorithm, "kid": str(key.kid)}
    return jwt.encode(head, dict(payload), key, algorithms=[algorithm])


def verify(token: str) -> Mapping[str, Any]:
    return verify_id_token(
        token,
        KEYS,
        issuer=ISSUER,
        client_id=CLIENT,
        nonce=NONCE,
        access_token=ACCESS_TOKEN,
        now=NOW,
    )


def half_hash(text: str) -> str:
    digest = sha256(text.encode()).digest()
    return base64.urlsafe_b64encode(digest[:16]).rstrip(b"=").decode()


@pytest.mark.parametrize("key", [RSA, EC], ids=["RS256", "ES256"])
def test_token_of_a_published_key_is_accepted(key: Any) -> None:
    assert verify(sign(claims(at_hash=half_hash(ACCESS_TOKEN)), key))["sub"] == "ada"


@pytest.mark.parametrize(
    "changed",
    [
        {"iss": "https://evil.example"},
        {"iss": ISSUER + "/"},
        {"iss": None},
        {"aud": "another"},
        {"aud": None},
        {"aud": ["another", "third"]},
        {"aud": [CLIENT, "another"]},  # without azp
        {"aud": [CLIENT, "another"], "azp": "another"},
        {"azp": "another"},
        {"sub": None},
        {"sub": ""},
        {"sub": "x" * 256},
        {"sub": 7},
        {"nonce": "of-another-login"},
        {"nonce": None},
        {"at_hash": half_hash("another-token")},
        {"exp": None},
        {"exp": "tomorrow"},
        {"exp": at(timedelta(minutes=-3))},
        {"iat": at(timedelta(minutes=3))},
        {"iat": None},
        {"nbf": at(timedelta(minutes=3))},
    ],
    ids=str,
)
def test_claim_that_is_not_of_this_login_is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(ProviderRefusedError):
        verify(sign(claims(**changed)))


@pytest.mark.parametrize("minutes", [-1, 1])
def test_clock_of_the_provider_may_differ_by_a_minute(minutes: int) -> None:
    skew = timedelta(minutes=minutes)
    token = claims(iat=at(skew), exp=at(skew + timedelta(minutes=1)))
    assert verify(sign(token))["sub"] == "ada"


@pytest.mark.parametrize("hours", [-1, 1])
def test_clock_that_is_an_hour_off_is_named(hours: int) -> None:
    skew = timedelta(hours=hours)
    token = claims(iat=at(skew), exp=at(skew + timedelta(minutes=5)))
    with pytest.raises(ProviderRefusedError, match="compare the clocks"):
        verify(sign(token))


def test_token_signed_by_a_strangers_key_of_the_same_id_is_refused() -> None:
    with pytest.raises(ProviderRefusedError):
        verify(sign(claims(), STRANGER))


def test_token_of_an_unknown_key_asks_for_the_keys_again() -> None:
    key = RSAKey.generate_key(2048, {"kid": "new"})
    with pytest.raises(UnknownKeyError):
        verify(sign(claims(), key))


def test_unsigned_token_is_refused() -> None:
    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    for algorithm in ("none", "None", "NONE"):
        for signature in ("", "AAAA"):
            with pytest.raises(ProviderRefusedError):
                verify(f"{part({'alg': algorithm, 'kid': 'rsa'})}.{part(claims())}.{signature}")


def test_public_key_used_as_a_shared_secret_is_refused() -> None:
    """Key confusion: a verifier that took the algorithm from the token would accept this."""
    forged = OctKey.import_key(json.dumps(RSA.as_dict(private=False)).encode())
    head = {"alg": "HS256", "kid": "rsa"}
    token = jwt.encode(head, claims(), forged, algorithms=["HS256"])
    with pytest.raises(ProviderRefusedError):
        verify(token)


@pytest.mark.parametrize(
    "token",
    ["", ".", "..", "a.b.c", "e30.e30.", "\x00", "x" * 70_000, "é.é.é"],
    ids=lambda token: ascii(token[:20]),
)
def test_text_that_is_no_token_is_refused(token: str) -> None:
    with pytest.raises(ProviderRefusedError):
        verify(token)


def test_altered_token_is_refused() -> None:
    head, body, signature = sign(claims()).split(".")
    other = sign(claims(sub="eve")).split(".")[1]
    for token in (f"{head}.{other}.{signature}", f"{head}.{body}.{signature[:-8]}AAAAAAAA"):
        with pytest.raises(ProviderRefusedError):
            verify(token)
