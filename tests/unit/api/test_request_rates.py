"""Token buckets of orgs: a second's requests at once, others are told when to try again."""

from datetime import timedelta

import pytest

from controlplane.api.request_rates import RequestRates
from controlplane.core.errors import QuotaExceededError
from shared.model.ids import OrgName

ACME, OTHER = OrgName("acme"), OrgName("other")


def take(rates: RequestRates, org: OrgName, times: int) -> int:
    """Return how many of the requests were admitted."""
    waits: list[timedelta | None] = []
    for _ in range(times):
        try:
            rates.take(org)
        except QuotaExceededError as error:
            waits.append(error.retry_after)
    assert all(wait and wait <= timedelta(seconds=1) for wait in waits)
    return times - len(waits)


def test_requests_of_an_org_over_its_rate_are_refused_and_of_another_are_not() -> None:
    rates = RequestRates()
    rates.set_limits({ACME: 1})
    assert take(rates, ACME, 100) == 1
    assert take(rates, OTHER, 100) == 100


def test_a_seconds_requests_are_admitted_at_once() -> None:
    rates = RequestRates()
    rates.set_limits({ACME: 1000})
    assert 1000 <= take(rates, ACME, 100_000) < 100_000


def test_reading_the_same_limits_again_gives_no_requests() -> None:
    rates = RequestRates()
    rates.set_limits({ACME: 1})
    assert take(rates, ACME, 2) == 1
    rates.set_limits({ACME: 1, OTHER: 5})
    assert take(rates, ACME, 2) == 0
    rates.set_limits({})
    assert take(rates, ACME, 2) == 2


def test_refused_request_costs_nothing() -> None:
    rates = RequestRates()
    rates.set_limits({ACME: 1})
    rates.take(ACME)
    with pytest.raises(QuotaExceededError) as first:
        rates.take(ACME)
    take(rates, ACME, 1000)
    with pytest.raises(QuotaExceededError) as last:
        rates.take(ACME)
    assert last.value.retry_after <= first.value.retry_after  # type: ignore[operator]
