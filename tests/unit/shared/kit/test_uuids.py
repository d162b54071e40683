"""We test that identifiers sort by the time they were made, to the millisecond."""

from datetime import UTC, datetime, timedelta
from uuid import RFC_4122

from hypothesis import given, strategies as st

from shared.kit.uuids import new_uuid

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
instants = st.datetimes(datetime(1970, 1, 1), datetime(9999, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001


@given(instants)
def test_it_is_a_version_7_uuid_of_exactly_that_millisecond(at: datetime) -> None:
    made = new_uuid(at)
    assert (made.version, made.variant) == (7, RFC_4122)
    assert made.int >> 80 == (at - EPOCH) // timedelta(milliseconds=1)


@given(instants, st.integers(1, 10**9))
def test_a_later_one_sorts_later(at: datetime, milliseconds: int) -> None:
    try:
        later = at + timedelta(milliseconds=milliseconds)
    except OverflowError:
        return
    assert new_uuid(at) < new_uuid(later)


def test_no_two_of_one_instant_are_alike() -> None:
    assert len({new_uuid(EPOCH) for _ in range(10_000)}) == 10_000
