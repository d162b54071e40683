"""An agent with a valid certificate acts on the attempts of its own cluster only."""

from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import grpc.aio
import pytest

from controlplane.core.callers import Caller
from controlplane.store.resources.clusters import save_org
from shared.idl.agent.v1 import (
    attempt_tokens_pb2,
    attempt_tokens_pb2_grpc,
    link_pb2,
    secrets_pb2,
    secrets_pb2_grpc,
)
from shared.model.assignments import Assignment
from shared.model.ids import RunId
from shared.model.phases import TERMINAL, Phase
from shared.model.reports import AckStatus
from shared.wire.ids import render_attempt_id, render_lease
from tests.factories import NOW, ORG, make_new_run, make_report
from tests.integration.agent_identity.conftest import THEIRS, AgentKey, operator_of
from tests.integration.agent_identity.tls_world import Replica, replica_serving, show
from tests.integration.link.conftest import lease_of
from tests.integration.store.conftest import Store, store
from tests.kube.certificates import Authority

__all__ = ["store"]


@pytest.fixture
async def replica(
    store: Store,
    database_url: str,
    tmp_path: Path,
) -> AsyncIterator[Replica]:
    authority = Authority(tmp_path / "authority")
    async with store.database.for_org(THEIRS) as tx:
        await save_org(tx, NOW)
    async with replica_serving(
        store.database, database_url, show(authority), authority.certificate
    ) as opened:
        yield opened


async def _lease(replica: Replica, store: Store) -> tuple[RunId, Assignment]:
    """Lease an attempt to c1, whose agent has accepted it and has left."""
    run = await store.create(make_new_run())
    made = await replica.enrolments.create_token(replica.operator, "c1", auto_accept=True)
    assert made.token is not None
    key = AgentKey()
    certificate = (await replica.enrol(made.token, key)).certificate.pem
    async with replica.dialling(key, certificate) as agent:
        await agent.open()
        [assignment] = await agent.take(1)
        assert await agent.accept(assignment) == {assignment.lease}
    return run, assignment


@pytest.mark.parametrize(
    ("operator", "cluster"),
    [(operator_of(ORG), "c2"), (operator_of(THEIRS), "c1")],
    ids=["another cluster of the org", "the same name in another org"],
)
async def test_agent_can_neither_report_nor_read_another_clusters_attempt(
    replica: Replica,
    store: Store,
    operator: Caller,
    cluster: str,
) -> None:
    run, assignment = await _lease(replica, store)
    before = await store.phase(run)
    key = AgentKey()
    certificate = await replica.certify(key, cluster, by=operator)
    async with replica.dialling(key, certificate) as agent:
        [decision] = await agent.open(lease_of(assignment))
        assert decision.kind == link_pb2.VerdictOnLease.KIND_FORGET
        done = make_report(assignment, 1, Phase.SUCCEEDED)
        assert await agent.report(done) == [AckStatus.STALE.value]
    assert await store.phase(run) is before
    assert before not in TERMINAL
    async with replica.channel(replica.link, key, certificate) as channel:
        secrets = secrets_pb2_grpc.SecretsServiceStub(channel)  # type: ignore[no-untyped-call]
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await secrets.Fetch(
                secrets_pb2.FetchSecretsRequest(
                    attempt=render_attempt_id(assignment.attempt),
                    lease_id=assignment.lease.bytes,
                    names=["a"],
                )
            )
        assert refused.value.code() is grpc.StatusCode.NOT_FOUND
        tokens = attempt_tokens_pb2_grpc.AttemptTokenServiceStub(channel)  # type: ignore[no-untyped-call]
        reply = await tokens.Exchange(
            attempt_tokens_pb2.ExchangeRequest(
                leases=[render_lease(assignment.attempt, assignment.lease)]
            )
        )
        assert not any(each.access_token for each in reply.tokens)
