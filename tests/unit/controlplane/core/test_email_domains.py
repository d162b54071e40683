"""Claims of e-mail domains: what the person reads, and when the record is looked up again."""

from dataclasses import replace

from controlplane.core.email_domains import (
    CHECKED_AGAIN,
    CHECKED_EVERY,
    DomainClaim,
    explain_missing,
    next_check,
)
from tests.factories import NOW

CLAIM = DomainClaim(
    domain="acme.example", role="viewer", challenge="abc", created_by="user:ada", created_at=NOW
)


def test_missing_record_is_named_with_the_value_to_set() -> None:
    for found, words in ((0, "no TXT record"), (3, "3 other TXT records")):
        sentence = explain_missing(CLAIM, found)
        assert f"there is {words} at _volary-challenge.acme.example" in sentence
        assert 'with the value "volary-domain-verification=abc"' in sentence


def test_record_is_looked_up_daily_and_hourly_while_it_is_missing() -> None:
    missing = replace(CLAIM, missing_since=NOW)
    assert next_check(CLAIM, NOW, is_found=True) == NOW + CHECKED_EVERY
    assert next_check(CLAIM, NOW, is_found=False) == NOW + CHECKED_AGAIN
    assert next_check(missing, NOW, is_found=True) == NOW + CHECKED_AGAIN
