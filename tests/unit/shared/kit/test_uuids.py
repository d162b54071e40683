"""We test that identifiers sort by the time they were made, to the millisecond."""

from datetime import UTC, datetime, timedelta
from uuid import RFC_4122

from hypothesis import given, strategies as st

from shared.kit.uuids import new_uuid

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
instants = st.datetimes(datetime(1970, 1, 1), datetime(9999, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001


@given(instants)
def test_uuid_is_version_7_with_the_given_millisecond(at: datetime) -> None:
    made = new_uuid(at)
    assert (made.version, made.variant) == (7, RFC_4122)
    assert made.int >> 80 == (at - EPOCH) // timedelta(milliseconds=1)


@given(instants, st.integers(1, 10**9))
def test_uuid_sorts_by_time(at: datetime, milliseconds: int) -> None:
    try:
        later = at + timedelta(milliseconds=milliseconds)
    except OverflowError:
        return
    assert new_uuid(at) < new_uuid(later)


def test_uuids_of_one_millisecond_are_unique() -> None:
    assert len({new_uuid(EPOCH) for _ in range(10_000)}) == 10_000
