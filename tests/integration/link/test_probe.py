"""An agent's doctor asks whether the link would open; no session notices."""

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from dataplane.agent.link.channel import DialError, Token
from dataplane.agent.link.probe import Probed, ProbeRefusedError, probe
from tests.factories import ORG
from tests.integration.link.conftest import (
    BLOB_BASE,
    TOKEN,
    LinkUnderTest,
    PacedClock,
    calling,
    make_inventory,
)
from tests.integration.store.conftest import CLUSTER
from tests.ports import free_ports

TIMEOUT_SECONDS = timedelta(seconds=30)


class LateClock(PacedClock):
    def now(self) -> datetime:
        return super().now() - timedelta(minutes=2)


async def _probe(port: int, home: Path, token: str = TOKEN, *, late: bool = False) -> Probed:
    file = home / "token"
    file.write_text(token)
    clock = LateClock() if late else PacedClock()
    return await probe(f"127.0.0.1:{port}", Token(file), None, clock, at_most=TIMEOUT_SECONDS)


async def test_probe_with_a_valid_token_returns_the_link_settings(
    link: LinkUnderTest, tmp_path: Path
) -> None:
    probed = await _probe(link.port, tmp_path)
    assert (probed.org, probed.cluster) == (ORG, CLUSTER)
    assert 1 in probed.protocols
    assert probed.storage_base == f"{BLOB_BASE}/{ORG}"
    assert abs(probed.skew) < timedelta(seconds=30)


async def test_probe_reports_a_late_clock(link: LinkUnderTest, tmp_path: Path) -> None:
    probed = await _probe(link.port, tmp_path, late=True)
    assert abs(probed.skew + timedelta(minutes=2)) < timedelta(seconds=30)


async def test_probe_does_not_end_the_clusters_session(link: LinkUnderTest, tmp_path: Path) -> None:
    async with calling(link) as agent:
        await agent.greet()
        await _probe(link.port, tmp_path)
        await agent.say(inventory=make_inventory([]))
        await agent.hear("verdicts")


async def test_probe_with_an_unknown_token_is_refused(link: LinkUnderTest, tmp_path: Path) -> None:
    with pytest.raises(ProbeRefusedError, match="no cluster has this token") as refused:
        await _probe(link.port, tmp_path, "somebody-elses-token")
    assert refused.value.code == "unauthenticated"


async def test_probe_of_a_closed_port_fails_in_time(tmp_path: Path) -> None:
    with pytest.raises(ProbeRefusedError) as refused:
        await _probe(free_ports(1)[0], tmp_path)
    assert refused.value.code == "unavailable"


async def test_probe_without_a_token_is_refused(tmp_path: Path) -> None:
    absent = Token(tmp_path / "absent")
    with pytest.raises(DialError, match="cannot be read"):
        await probe("127.0.0.1:1", absent, None, PacedClock(), at_most=TIMEOUT_SECONDS)
