"""Doctor's results for control planes that know the agent, do not, or are not there."""

from datetime import datetime, timedelta
from pathlib import Path

import grpc.aio
import pytest
from starlette.responses import PlainTextResponse

from dataplane.agent.doctor.checks import run_checks
from dataplane.agent.doctor.controlplane import check_api, check_replicas
from dataplane.agent.doctor.results import CheckResult, Outcome, is_well
from shared.idl.agent.v1 import probe_pb2, probe_pb2_grpc
from shared.kit.clock import SystemClock
from tests.integration.doctor.conftest import answering, make_settings, serving
from tests.integration.store.conftest import Store
from tests.kube.certificates import Authority
from tests.ports import free_ports
from tests.servers import http

CLOCK = SystemClock()


class Ahead(SystemClock):
    """Another machine's clock, ahead of ours."""

    def __init__(self, by: timedelta) -> None:
        self._by = by

    def now(self) -> datetime:
        return super().now() + self._by


def worst(findings: list[CheckResult]) -> CheckResult:
    order = [Outcome.FAIL, Outcome.WARN, Outcome.OK]
    return min(findings, key=lambda finding: order.index(finding.outcome))


async def _ask(address: str, token_file: Path, ca: Path | None = None) -> list[CheckResult]:
    settings = make_settings(address, token_file, ca_file=ca)
    return list((await check_replicas(settings, CLOCK)).results)


async def test_one_that_knows_the_agent(store: Store, tmp_path: Path) -> None:
    async with answering(store, tmp_path, base=f"file://{tmp_path}") as there:
        found = await _ask(there.address, there.token_file)
    assert worst(found).outcome is Outcome.OK
    assert "accepts this agent as cluster c1" in found[1].text
    assert "within 5 s" in found[2].text


async def test_one_with_a_certificate(store: Store, tmp_path: Path, authority: Authority) -> None:
    shows = authority.issue("control-plane", reached_at=["127.0.0.1"])
    async with answering(store, tmp_path, base="s3://bucket", shows=shows) as there:
        found = await _ask(there.address, there.token_file, authority.certificate)
        assert "accepts this agent" in found[1].text
        stranger = await _ask(there.address, there.token_file)
    assert worst(stranger).outcome is Outcome.FAIL


async def test_one_that_does_not_know_the_token(store: Store, tmp_path: Path) -> None:
    async with answering(store, tmp_path, base="s3://bucket") as there:
        there.token_file.write_text("the-token-of-another-cluster")
        found = worst(await _ask(there.address, there.token_file))
        assert "does not know this token" in found.text
        assert "token.existingSecret" in found.remedy
        assert "the-token-of-another-cluster" not in repr(found)
        there.token_file.unlink()
        assert "cannot be read" in worst(await _ask(there.address, there.token_file)).text


@pytest.mark.parametrize(
    ("by", "outcome", "words"),
    [
        (timedelta(seconds=-20), Outcome.WARN, "20.0 s ahead of"),
        (timedelta(minutes=5), Outcome.FAIL, "behind"),
    ],
)
async def test_one_whose_clock_is_another(
    store: Store, tmp_path: Path, by: timedelta, outcome: Outcome, words: str
) -> None:
    async with answering(store, tmp_path, base="s3://bucket", clock=Ahead(by)) as there:
        found = worst(await _ask(there.address, there.token_file))
    assert found.about == "clock"
    assert found.outcome is outcome
    assert words.rsplit(maxsplit=1)[-1] in found.text
    assert "NTP" in found.remedy


class _Newer(probe_pb2_grpc.ProbeServiceServicer):
    async def Probe(  # noqa: N802
        self, _: object, context: object
    ) -> probe_pb2.ProbeReply:
        del context
        return probe_pb2.ProbeReply(protocol_min=8, protocol_max=9)


async def test_one_of_another_age(tmp_path: Path) -> None:
    token_file = tmp_path / "token"
    token_file.write_text("some-token")
    older = grpc.aio.server()
    async with serving(older) as address:
        found = worst(await _ask(address, token_file))
    assert (found.outcome, "older than this agent" in found.text) == (Outcome.WARN, True)

    newer = grpc.aio.server()
    probe_pb2_grpc.add_ProbeServiceServicer_to_server(  # type: ignore[no-untyped-call]
        _Newer(), newer
    )
    async with serving(newer) as address:
        found = next(each for each in await _ask(address, token_file) if "protocols" in each.text)
    assert found.outcome is Outcome.FAIL
    assert found.remedy == "upgrade the agent"


async def test_each_of_several_is_looked_at(store: Store, tmp_path: Path) -> None:
    async with answering(store, tmp_path, base=f"file://{tmp_path}") as there:
        dead = f"127.0.0.1:{free_ports(1)[0]}"
        settings = make_settings(f"{dead},{there.address}", there.token_file)
        answers = await check_replicas(settings, CLOCK)
    assert answers.probed is not None
    assert answers.results[0].outcome is Outcome.FAIL
    assert dead in answers.results[0].text


async def test_the_api_is_asked_whether_it_is_ready(tmp_path: Path) -> None:
    settings = make_settings("127.0.0.1:1", tmp_path / "token")
    async with http.serving(PlainTextResponse("ready\n")) as url:
        found = await check_api(settings, url.removeprefix("http://"), CLOCK)
    assert [each.outcome for each in found] == [Outcome.OK, Outcome.OK]
    async with http.serving(PlainTextResponse("no", status_code=503)) as url:
        found = await check_api(settings, url.removeprefix("http://"), CLOCK)
    assert "answers 503" in worst(list(found)).text


async def test_an_agent_of_one_machine_is_examined_as_a_whole(store: Store, tmp_path: Path) -> None:
    async with (
        answering(store, tmp_path, base=f"file://{tmp_path}/blobs") as there,
        http.serving(PlainTextResponse("ready\n")) as url,
    ):
        api = url.removeprefix("http://")
        settings = make_settings(there.address, there.token_file, api=api)
        findings = await run_checks(settings, [], CLOCK)
    assert is_well(findings)
    assert {finding.about for finding in findings} == {"api", "clock", "control plane", "storage"}


async def test_what_cannot_be_asked_about_is_not_passed_over(tmp_path: Path) -> None:
    settings = make_settings("127.0.0.1:1", tmp_path / "token")
    findings = await run_checks(settings, [], CLOCK)
    assert not is_well(findings)
    (storage,) = [finding for finding in findings if finding.about == "storage"]
    assert storage.outcome is Outcome.WARN
