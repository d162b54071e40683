"""Lines out of a kubelet's bytes: cut anywhere, stamped in any zone, merged by instant."""

import gzip
import json
from collections.abc import AsyncGenerator, Mapping
from typing import cast

from dataplane.agent.core import attempt_limits
from dataplane.agent.kube.client import Kube
from dataplane.agent.kube.errors import NotFoundError
from dataplane.agent.kube.objects import Name
from dataplane.agent.runtimes.kubernetes import runtime_limits
from dataplane.agent.runtimes.kubernetes.logs import Captured, Source, capture, list_sources
from shared.model.logs import Originator
from tests.unit.agent.kubernetes.objects import make_pod, make_status, runs, waits

POD = Name("p", "one")


class FakeLogs:
    """Answers requests for logs, a few bytes at a time."""

    def __init__(self, by_container: Mapping[str, bytes], *, piece: int = 7) -> None:
        self._by_container = by_container
        self._piece = piece

    async def log(self, pod: Name, container: str, **_: object) -> AsyncGenerator[bytes, None]:
        body = self._by_container.get(container)
        if body is None:
            raise NotFoundError(404, "NotFound", f"{pod} has no such container")
        for start in range(0, len(body), self._piece):
            yield body[start : start + self._piece]


async def captured(by_container: Mapping[str, bytes], *, piece: int = 7) -> Captured:
    sources = [
        Source(POD, name, f"[{name}] " if index else "") for index, name in enumerate(by_container)
    ]
    return await capture(cast("Kube", FakeLogs(by_container, piece=piece)), sources)


def lines(of: Captured) -> list[str]:
    return [json.loads(line)["m"] for line in gzip.decompress(of.packed).splitlines()]


def at(second: int, nanoseconds: str = "000000000", zone: str = "Z") -> bytes:
    return f"2026-06-01T12:00:{second:02}.{nanoseconds}{zone} ".encode()


async def test_lines_are_whole_however_their_bytes_are_cut() -> None:
    body = at(1) + "grüß dich\n".encode() + at(2) + b"\n" + at(3) + b"no end"

    for piece in (1, 5, 1000):
        found = await captured({"main": body}, piece=piece)
        assert lines(found) == ["grüß dich", "", "no end"]
        assert found.last_lines == ["grüß dich", "", "no end"]


async def test_several_containers_are_one_log_in_the_order_of_time() -> None:
    one = at(1) + b"a\n" + at(4) + b"d\n"
    two = at(2) + b"b\n" + at(3) + b"c\n"

    assert lines(await captured({"main": one, "side": two})) == ["a", "[side] b", "[side] c", "d"]


async def test_nanoseconds_and_zones_count() -> None:
    one = at(1, "000000002") + b"later\n"
    two = b"2026-06-01T14:00:01.000000001+02:00 earlier\n"

    assert lines(await captured({"main": one, "side": two})) == ["[side] earlier", "later"]


async def test_container_without_a_log_is_left_out() -> None:
    found = await capture(
        cast("Kube", FakeLogs({"main": at(1) + b"a\n"})),
        [Source(POD, "gone"), Source(POD, "main")],
    )
    assert lines(found) == ["a"]


async def test_empty_log_is_not_uploaded() -> None:
    assert await captured({"main": b""}) == Captured(b"", [])


async def test_overlong_log_line_is_split() -> None:
    found = lines(await captured({"main": at(1) + b"x" * 40_000 + b"\n"}, piece=10_000))

    assert "".join(found) == "x" * 40_000
    assert max(map(len, found)) <= attempt_limits.LINE_BYTES


async def test_progress_bar_is_one_log_line_however_long() -> None:
    states = b"".join(b"\rstep %d/3000 " % step + b"#" * 40 for step in range(3001))
    body = at(1) + b"begin\n" + at(2) + states + b"\r\n" + at(3) + b"a word\rend"
    assert len(states) > 4 * attempt_limits.LINE_BYTES

    for piece in (7, 16 * 1024, 10**6):
        found = await captured({"main": body}, piece=piece)
        assert lines(found) == ["begin", "step 3000/3000 " + "#" * 40, "end"]


async def test_last_log_lines_are_bounded() -> None:
    body = b"".join(at(second % 60) + b"y" * 1000 + b"\n" for second in range(40))
    found = await captured({"main": body}, piece=10_000)

    assert 0 < sum(map(len, found.last_lines)) <= runtime_limits.LAST_LINES_BYTES


def test_primary_containers_log_comes_first_and_ours_is_the_systems() -> None:
    init = [{"name": "volary-download", "image": "copilot:1"}]
    pod = make_pod(
        state=runs(),
        spec={"initContainers": init},
        status={"initContainerStatuses": [make_status("volary-download", runs())]},
    )
    first, second = list_sources([pod], None, begun=True)

    assert (first.container, first.mark, first.originator) == ("main", "", Originator.USER)
    assert (second.mark, second.originator) == ("[volary-download] ", Originator.SYSTEM)


def test_container_that_has_not_started_has_no_log() -> None:
    assert list_sources([make_pod(state=waits("ContainerCreating"))], None, begun=True) == []
