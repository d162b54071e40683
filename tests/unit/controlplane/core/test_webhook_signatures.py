"""Signatures of webhooks: their form, and secrets that replace one another."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from controlplane.core.errors import ExhaustedError, InvalidError
from controlplane.core.webhook_signatures import (
    DEFAULT_OVERLAP,
    MAX_OVERLAP,
    MOST_SECRETS,
    SECRET_BYTES,
    SigningSecret,
    list_signing,
    make_signing_secret,
    replace_secret,
    sign,
)
from shared.kit.clock import SystemClock
from shared.kit.secrets import SecretText

DOCUMENT = Path(__file__).parents[4] / "docs/notifications.md"
NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def make(number: int) -> SigningSecret:
    return make_signing_secret(bytes([number]) * SECRET_BYTES)


def test_signature_is_that_of_the_specification_example() -> None:
    """The example that the libraries of standardwebhooks.com are tested with."""
    secret = SigningSecret(secret=SecretText("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"))

    headers = sign(
        [secret],
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        b'{"test": 2432232314}',
        datetime.fromtimestamp(1614265330, UTC),
    )

    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_snippet_of_the_documents_accepts_our_signature_and_nothing_else() -> None:
    blocks = DOCUMENT.read_text().split("```python\n")
    (snippet,) = [each.partition("```")[0] for each in blocks if "def verify" in each]
    code: dict[str, Any] = {}
    exec(snippet, code)  # noqa: S102 - our own document
    secret, body, now = make(1), b'{"text": "\xc3\xbc"}', SystemClock().now()
    headers = dict(sign([make(2), secret], "id", body, now))

    code["verify"](secret.secret.reveal(), headers, body)

    late = dict(sign([secret], "id", body, now - timedelta(minutes=6)))
    for wrong in (
        (make(3).secret.reveal(), headers, body),
        (secret.secret.reveal(), headers, body + b" "),
        (secret.secret.reveal(), headers | {"webhook-id": "other"}, body),
        (secret.secret.reveal(), late, body),
    ):
        with pytest.raises(ValueError, match=r"no signature|is old"):
            code["verify"](*wrong)


def test_request_without_secrets_has_an_id_and_no_signature() -> None:
    assert set(sign([], "id", b"", NOW)) == {"webhook-id", "webhook-timestamp"}


def test_replaced_secrets_sign_until_their_overlap_ends_and_not_longer_than_before() -> None:
    first = replace_secret([], make(1), now=NOW, overlap=DEFAULT_OVERLAP)
    second = replace_secret(first, make(2), now=NOW, overlap=HOUR)
    third = replace_secret(second, make(3), now=NOW, overlap=MAX_OVERLAP)

    assert [each.until for each in third] == [None, NOW + MAX_OVERLAP, NOW + HOUR]
    assert len(list_signing(third, NOW + HOUR)) == 2
    signature = sign(third, "id", b"", NOW)["webhook-signature"]
    assert len(signature.split()) == 3
    assert replace_secret(third, make(4), now=NOW, overlap=timedelta()) == [make(4)]


@pytest.mark.parametrize("overlap", [timedelta(seconds=-1), MAX_OVERLAP + timedelta(seconds=1)])
def test_overlap_out_of_bounds_is_refused(overlap: timedelta) -> None:
    with pytest.raises(InvalidError, match="overlap: must be between 0 and 30 days"):
        replace_secret([], make(1), now=NOW, overlap=overlap)


def test_only_so_many_secrets_sign_at_once() -> None:
    secrets: list[SigningSecret] = []
    for number in range(MOST_SECRETS):
        secrets = list(replace_secret(secrets, make(number), now=NOW, overlap=HOUR))

    with pytest.raises(ExhaustedError, match=r"first ends \(2026-11-29 13:00 UTC\)"):
        replace_secret(secrets, make(9), now=NOW, overlap=HOUR)


def test_secret_has_all_of_its_random_bytes_and_is_not_printed() -> None:
    secret = make(7)

    assert secret.key == b"\x07" * SECRET_BYTES
    assert "whsec_" not in repr(secret)
    with pytest.raises(ValueError, match="has 32 bytes, not 3"):
        make_signing_secret(b"123")
