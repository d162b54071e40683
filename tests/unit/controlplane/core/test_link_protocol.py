"""Rules of the link protocol: versions, frame sizes, credit."""

from collections.abc import Sequence

import pytest
from hypothesis import given, strategies as st

from controlplane.core.link_protocol import (
    MAX_CREDIT_AHEAD,
    MAX_ITEMS_IN_FRAME,
    PROTOCOL,
    Credits,
    Versions,
    choose_protocol,
    require_frame_size,
)
from shared.model.link_session import ProtocolError


@pytest.mark.parametrize(
    ("oldest", "newest", "chosen"),
    [
        (PROTOCOL, PROTOCOL, PROTOCOL),
        (1, 99, PROTOCOL),
        (PROTOCOL + 1, 99, None),
        (0, 0, None),
        (5, 1, None),
    ],
)
def test_protocol_negotiation_picks_newest_common_version(
    oldest: int, newest: int, chosen: int | None
) -> None:
    assert choose_protocol(Versions(oldest, newest)) == chosen


@given(st.lists(st.integers(0, 50)), st.data())
def test_credits_sent_never_exceed_the_latest_total(
    totals: Sequence[int], data: st.DataObject
) -> None:
    credits_, latest = Credits(), 0
    for total in totals:
        credits_.grant(total)
        latest = total
        credits_.spend(data.draw(st.integers(0, credits_.remaining)))
        assert credits_.sent <= max(latest, credits_.sent)
        assert credits_.remaining == max(0, latest - credits_.sent)


def test_credits_shrink_with_a_smaller_total() -> None:
    credits_ = Credits()
    credits_.grant(10)
    credits_.spend(4)
    credits_.grant(4)
    assert credits_.remaining == 0


def test_credits_beyond_the_limit_are_refused() -> None:
    credits_ = Credits(granted=0, sent=5)
    credits_.grant(5 + MAX_CREDIT_AHEAD)
    with pytest.raises(ProtocolError, match="at most"):
        credits_.grant(6 + MAX_CREDIT_AHEAD)


def test_frame_with_too_many_items_is_refused() -> None:
    require_frame_size(MAX_ITEMS_IN_FRAME)
    with pytest.raises(ProtocolError, match="at most"):
        require_frame_size(MAX_ITEMS_IN_FRAME + 1)
