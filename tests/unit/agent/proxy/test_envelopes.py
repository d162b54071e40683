"""A stream may be ended by the proxy between two messages, however its bytes are cut."""

import struct

from hypothesis import given, strategies as st

from dataplane.agent.proxy.envelopes import Envelopes
from dataplane.agent.proxy.errors import Code, PodCallRefusedError


def _envelope(flags: int, body: bytes) -> bytes:
    return struct.pack(">BI", flags, len(body)) + body


@given(
    bodies=st.lists(st.binary(max_size=300), max_size=6),
    cuts=st.lists(st.integers(1, 40), max_size=60),
    flags=st.sampled_from([0, 1]),
)
def test_envelope_reader_is_between_messages_when_all_have_ended(
    bodies: list[bytes], cuts: list[int], flags: int
) -> None:
    stream = b"".join(_envelope(flags, body) for body in bodies)
    ends = {0}
    for body in bodies:
        ends.add(max(ends) + 5 + len(body))
    envelopes, at = Envelopes(), 0
    for cut in [*cuts, len(stream)]:
        envelopes.feed(stream[at : at + cut])
        at = min(at + cut, len(stream))
        assert envelopes.is_between == (at in ends)
        assert not envelopes.is_over


def test_after_the_last_envelope_nothing_may_be_added() -> None:
    envelopes = Envelopes()
    envelopes.feed(_envelope(0, b"one"))
    assert envelopes.is_between
    envelopes.feed(PodCallRefusedError(Code.UNAVAILABLE, "why").as_end_of_stream())
    assert envelopes.is_over
    assert not envelopes.is_between
