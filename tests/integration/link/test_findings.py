"""An agent's findings are kept, the latest of each cluster, however many it sends."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest

from controlplane.core.callers import EVERYTHING, Caller, Subject, org_wide
from controlplane.core.clusters import ReportedFindings
from controlplane.core.link_timings import LinkTimings
from controlplane.usecases.clusters import Clusters
from shared.idl.agent.v1 import link_pb2
from shared.kit.clock import SystemClock
from shared.kit.timestamps import to_us
from tests.factories import NOW, ORG
from tests.integration.link.conftest import LinkUnderTest, calling, serving
from tests.integration.store.conftest import CLUSTER, Store
from tests.running import until

OPERATOR = Caller(subject=Subject("operator"), org=ORG, name="", grants=org_wide(EVERYTHING))


@pytest.fixture
async def link(store: Store, database_url: str) -> AsyncIterator[LinkUnderTest]:
    timings = replace(LinkTimings(), heartbeat=timedelta(milliseconds=100))
    async with serving(store, database_url, timings) as opened:
        yield opened


def _findings(*texts: str) -> link_pb2.Findings:
    found = [
        link_pb2.Finding(
            about="permissions",
            outcome=link_pb2.Finding.OUTCOME_FAULT,
            text=text,
            remedy="grant it",
        )
        for text in texts
    ]
    return link_pb2.Findings(findings=found, checked_at_us=to_us(NOW))


async def _find(link: LinkUnderTest) -> ReportedFindings | None:
    return await Clusters(link.store.database, SystemClock()).find_findings(OPERATOR, CLUSTER)


async def test_latest_findings_of_an_agent_are_kept_and_replaced(link: LinkUnderTest) -> None:
    assert await _find(link) is None

    async def are(*texts: str) -> bool:
        found = await _find(link)
        return found is not None and [each.text for each in found.findings] == list(texts)

    async with calling(link) as agent:
        await agent.open()
        for number in range(500):
            await agent.say(findings=_findings(f"finding {number}"))
        await until(lambda: are("finding 499"), "the last of many")
        await agent.say(findings=_findings())
        await until(are, "nothing is found any more")
        await agent.say(findings=_findings(*[f"{n:02} " + "x" * 10_000 for n in range(99)]))
        await until(lambda: _has(link, 50), "as many as are kept")
        found = await _find(link)
        assert found is not None
        assert max(len(each.text) for each in found.findings) == 500
        assert found.checked_at == NOW


async def _has(link: LinkUnderTest, count: int) -> bool:
    found = await _find(link)
    return found is not None and len(found.findings) == count


async def test_findings_outlive_the_session_and_are_deleted_with_the_cluster(
    link: LinkUnderTest,
) -> None:
    async with calling(link) as agent:
        await agent.open()
        await agent.say(findings=_findings("a finding"))
        await until(lambda: _has(link, 1), "the finding")
    assert await _has(link, 1)
    clusters = Clusters(link.store.database, SystemClock())
    await clusters.delete(OPERATOR, CLUSTER)
    assert await link.store.count("agent_findings") == 0


async def test_findings_before_the_session_is_open_break_the_protocol(link: LinkUnderTest) -> None:
    async with calling(link) as agent:
        await agent.greet()
        await agent.say(findings=_findings("too early"))
        code, message, _ = await agent.hear_end()
    assert (code, "findings" in message) == ("protocol", True)
