"""Access tokens: what is accepted, and every forgery that is not."""

import base64
import json
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, strategies
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, RSAKey

from controlplane.authn.access_tokens import AccessToken, AccessTokens
from controlplane.authn.signing_keys import NoSigningKeyError, TokenKey, TokenKeySet, make_key
from controlplane.core.callers import Credential, Subject
from controlplane.core.errors import UnauthenticatedError
from shared.kit.secrets import SecretText
from shared.model.ids import OrgName
from tests.fakes.clock import FakeClock

ISSUER = "https://volary.example"
START = datetime(2026, 3, 1, 12, tzinfo=UTC)
LIFETIME = timedelta(minutes=15)
LEEWAY = timedelta(seconds=60)
SECOND = timedelta(seconds=1)


class Service:
    """One issuer with one key, and ways to make tokens that it did not issue."""

    def __init__(self) -> None:
        self.clock = FakeClock(START)
        self.key = make_key(START)
        self.keys = TokenKeySet([self.key])
        self.tokens = AccessTokens(self.keys, self.clock, issuer=ISSUER)

    def issue(self) -> SecretText:
        return self.tokens.issue(
            subject=Subject("user:1"),
            org=OrgName("acme"),
            client_id="flyte",
            credential=Credential("login", "f1"),
        )

    def claims(self, **changed: object) -> dict[str, Any]:
        now = int(self.clock.now().timestamp())
        usual = {
            "iss": ISSUER,
            "aud": ISSUER,
            "sub": "user:1",
            "org": "acme",
            "client_id": "flyte",
            "credential_kind": "login",
            "credential_id": "f1",
            "iat": now,
            "nbf": now,
            "exp": now + 900,
            "jti": "1",
        }
        return {name: value for name, value in {**usual, **changed}.items() if value is not None}

    def sign(self, claims: Mapping[str, Any], key: Any = None, **header: object) -> SecretText:
        """Sign with this service's own key, unless another is given."""
        whole = {"alg": "ES256", "kid": self.key.kid, "typ": "at+jwt", **header}
        algorithms = ["ES256", "HS256", "RS256"]
        return SecretText(jwt.encode(whole, dict(claims), key or self.key.key, algorithms))

    def refusal(self, token: SecretText) -> str:
        with pytest.raises(UnauthenticatedError) as refused:
            self.tokens.verify(token)
        return str(refused.value)


@pytest.fixture
def service() -> Service:
    return Service()


def _unsigned(header: object, claims: object, signature: bytes = b"") -> SecretText:
    parts = [json.dumps(header).encode(), json.dumps(claims).encode(), signature]
    encoded = [base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts]
    return SecretText(".".join(encoded))


def test_issued_token_is_verified_with_its_claims(service: Service) -> None:
    verified = service.tokens.verify(service.issue())
    assert verified == AccessToken(
        subject=Subject("user:1"),
        org=OrgName("acme"),
        client_id="flyte",
        credential_kind="login",
        credential_id="f1",
        issued_at=START,
        expires_at=START + LIFETIME,
        id=verified.id,
    )
    assert verified.credential == Credential("login", "f1", START + LIFETIME + LEEWAY)


def test_token_is_accepted_until_its_expiry_and_the_leeway(service: Service) -> None:
    token = service.issue()
    fresh = AccessTokens(service.keys, service.clock, issuer=ISSUER)
    service.clock.advance(LIFETIME + LEEWAY - SECOND)
    assert fresh.verify(token).subject == "user:1"
    service.clock.advance(SECOND)
    assert "has expired" in service.refusal(token)


def test_verified_token_is_refused_once_it_has_expired(service: Service) -> None:
    token = service.issue()
    service.tokens.verify(token)
    service.clock.advance(LIFETIME + LEEWAY)
    assert "has expired" in service.refusal(token)


def test_token_from_a_clock_that_is_ahead_is_accepted_within_the_leeway(service: Service) -> None:
    ahead = int((START + LEEWAY).timestamp())
    service.tokens.verify(service.sign(service.claims(nbf=ahead, iat=ahead)))
    assert "not valid yet" in service.refusal(service.sign(service.claims(nbf=ahead + 1)))
    assert "not valid yet" in service.refusal(service.sign(service.claims(iat=ahead + 1)))


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"iss": "https://other.example"}, "issued by another service"),
        ({"iss": ISSUER + "/"}, "issued by another service"),
        ({"iss": None}, "lacks a claim"),
        ({"aud": "https://other.example"}, "is for another service"),
        ({"aud": ["https://other.example"]}, "is for another service"),
        ({"aud": None}, "lacks a claim"),
        ({"exp": None}, "lacks a claim"),
        ({"exp": "tomorrow"}, "malformed"),
        ({"exp": True}, "malformed"),
        ({"exp": 1e300}, "malformed"),
        ({"exp": 10**400}, "valid for longer"),
        ({"exp": int(START.timestamp()) + 901}, "valid for longer"),
        ({"iat": -(10**400)}, "valid for longer"),
        ({"sub": None}, "lacks a claim"),
        ({"sub": 7}, "malformed"),
        ({"org": None}, "lacks a claim"),
        ({"org": ["acme"]}, "malformed"),
        ({"credential_id": None}, "lacks a claim"),
        ({"jti": None}, "lacks a claim"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_token_with_a_wrong_claim_is_refused(
    service: Service, changed: Mapping[str, object], reason: str
) -> None:
    assert reason in service.refusal(service.sign(service.claims(**changed)))


def test_token_that_names_several_audiences_is_accepted_for_one_of_them(service: Service) -> None:
    service.tokens.verify(service.sign(service.claims(aud=["https://other.example", ISSUER])))


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", ""])
def test_token_without_a_signature_is_refused(service: Service, algorithm: str) -> None:
    header = {"alg": algorithm, "kid": service.key.kid, "typ": "at+jwt"}
    assert service.refusal(_unsigned(header, service.claims()))


def test_token_without_a_signature_that_claims_ours_is_refused(service: Service) -> None:
    header = {"alg": "ES256", "kid": service.key.kid, "typ": "at+jwt"}
    assert "not signed" in service.refusal(_unsigned(header, service.claims()))
    assert "not signed" in service.refusal(_unsigned(header, service.claims(), b"\0" * 64))


def test_token_signed_with_the_public_key_as_a_shared_secret_is_refused(service: Service) -> None:
    for public in (service.key.key.as_pem(private=False), service.key.key.as_der(private=False)):
        confused = service.sign(service.claims(), OctKey.import_key(public.hex()), alg="HS256")
        assert "not signed by this service with ES256" in service.refusal(confused)


def test_token_signed_with_another_algorithm_is_refused(service: Service) -> None:
    rsa = RSAKey.generate_key(2048)
    assert "not signed by this service with ES256" in service.refusal(
        service.sign(service.claims(), rsa, alg="RS256")
    )


def test_token_of_a_foreign_key_is_refused(service: Service) -> None:
    foreign = ECKey.generate_key("P-256")
    assert "not signed" in service.refusal(service.sign(service.claims(), foreign))
    unknown = service.sign(service.claims(), foreign, kid="theirs")
    assert "does not know" in service.refusal(unknown)


def test_key_inside_a_token_is_not_used(service: Service) -> None:
    foreign = ECKey.generate_key("P-256", auto_kid=True)
    header = {
        "alg": "ES256",
        "typ": "at+jwt",
        "kid": foreign.kid,
        "jwk": foreign.as_dict(private=False),
    }
    token = SecretText(jwt.encode(header, service.claims(), foreign, ["ES256"]))
    assert "does not know" in service.refusal(token)


def test_altered_token_is_refused(service: Service) -> None:
    header, claims, signature = service.issue().reveal().split(".")
    padded = claims + "=" * (-len(claims) % 4)
    altered = json.loads(base64.urlsafe_b64decode(padded)) | {"org": "other"}
    body = base64.urlsafe_b64encode(json.dumps(altered).encode()).rstrip(b"=").decode()
    assert "not signed" in service.refusal(SecretText(f"{header}.{body}.{signature}"))


def test_another_kind_of_jwt_is_refused(service: Service) -> None:
    assert "not an access token" in service.refusal(service.sign(service.claims(), typ="JWT"))


def test_token_of_a_withdrawn_key_is_refused(service: Service) -> None:
    token = service.issue()
    service.tokens.verify(token)
    service.keys.replace([make_key(START)])
    service.tokens.forget_verified()
    assert "does not know" in service.refusal(token)


def test_token_is_not_issued_without_a_key(service: Service) -> None:
    service.keys.replace([])
    with pytest.raises(NoSigningKeyError):
        service.issue()


def test_access_tokens_cannot_outlive_their_keys(service: Service) -> None:
    with pytest.raises(ValueError, match="0:15:00 at most"):
        AccessTokens(
            service.keys, service.clock, issuer=ISSUER, lifetime=timedelta(minutes=15, seconds=1)
        )


def test_token_expires_with_its_credential(service: Service) -> None:
    ends = Credential("api_key", "k1", START + timedelta(minutes=5))
    token = service.tokens.issue(
        subject=Subject("serviceaccount:1"), org=OrgName("acme"), client_id="k1", credential=ends
    )
    assert service.tokens.lifetime_of(ends) == 300
    assert service.tokens.verify(token).expires_at == ends.expires_at
    service.clock.advance(timedelta(minutes=10))
    assert service.tokens.lifetime_of(ends) == 0


def test_very_long_credential_is_refused_unread(service: Service) -> None:
    assert "too long" in service.refusal(SecretText("a" * 5000))


_SERVICE = Service()
_PART = strategies.one_of(
    strategies.text(max_size=60),
    strategies.binary(max_size=60).map(lambda b: base64.urlsafe_b64encode(b).decode()),
    strategies.recursive(
        strategies.none() | strategies.integers() | strategies.text(max_size=5),
        lambda inner: (
            strategies.lists(inner, max_size=3)
            | strategies.dictionaries(
                strategies.sampled_from(["alg", "kid", "typ", "crit", "exp", "b64", "iss"]),
                inner,
                max_size=4,
            )
        ),
        max_leaves=6,
    ).map(lambda value: base64.urlsafe_b64encode(json.dumps(value).encode()).decode()),
)


@pytest.mark.parametrize(
    "header",
    [{"crit": [None]}, {"crit": 5}, {"crit": [{}]}, {"alg": [], "crit": [None]}, {"kid": {}}, []],
    ids=str,
)
def test_header_with_values_of_other_types_is_refused(service: Service, header: object) -> None:
    whole = {"alg": "ES256", "typ": "at+jwt", **header} if isinstance(header, dict) else header
    assert service.refusal(_unsigned(whole, {}))


@given(strategies.lists(_PART, min_size=0, max_size=5).map(".".join))
def test_arbitrary_credential_is_refused_with_a_reason(text: str) -> None:
    assert _SERVICE.refusal(SecretText(text))


_CLAIM = strategies.one_of(
    strategies.none(),
    strategies.booleans(),
    strategies.integers(),
    strategies.floats(allow_nan=False),
    strategies.text(max_size=5),
    strategies.lists(strategies.integers(), max_size=2),
)


@given(
    strategies.sampled_from(["iss", "aud", "sub", "org", "exp", "iat", "nbf", "jti", "client_id"]),
    _CLAIM,
)
def test_signed_token_with_an_arbitrary_claim_is_verified_or_refused(
    name: str, value: object
) -> None:
    token = _SERVICE.sign({**_SERVICE.claims(), name: value})
    with suppress(UnauthenticatedError):
        _SERVICE.tokens.verify(token)


def test_signing_key_is_shown_without_its_private_half() -> None:
    key = make_key(START)
    assert "ECKey" not in repr(key)
    assert "d" not in key.public
    assert set(key.public) == {"kty", "crv", "x", "y", "kid", "use", "alg"}
    assert isinstance(key, TokenKey)
