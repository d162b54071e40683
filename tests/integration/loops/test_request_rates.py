"""Limits of API requests: read for a thousand orgs in pages, and refused without a statement."""

from pathlib import Path

import httpx
from sqlalchemy import text

from controlplane.api.request_rates import RequestRates
from controlplane.loops.request_rates import RequestRateReader
from shared.model.ids import OrgName
from tests.factories import NOW
from tests.fakes.clock import FakeClock
from tests.integration.api.client import ORG, open_api
from tests.integration.loops.test_three_at_once import EVERY
from tests.integration.store.conftest import Store
from tests.integration.store.examined import counting_statements


async def test_limits_of_a_thousand_orgs_are_read_in_pages(
    store: Store,
) -> None:
    async with store.database.for_fleet("a test") as tx:
        for statement in (
            "INSERT INTO orgs (org, created_at) SELECT 'o' || n, now() FROM generate_series(1, 1000) n",
            "INSERT INTO quotas (org, project, requests_per_second, updated_at) SELECT org, '', 7, now() FROM orgs WHERE org LIKE 'o%'",
        ):
            await tx.connection.execute(text(statement))
    limits: dict[OrgName, int] = {}
    reader = RequestRateReader(store.database, FakeClock(NOW), limits.update, every=EVERY, page=300)
    assert await reader.run_once() == 1000
    assert set(limits.values()) == {7}


async def test_refused_request_costs_no_statement_and_says_when_to_retry(
    database_url: str, tmp_path: Path
) -> None:
    rates = RequestRates()
    async with (
        open_api(database_url, tmp_path / "blobs", rates=rates) as api,
        httpx.AsyncClient(base_url=api.url, timeout=60) as http,
    ):
        rates.set_limits({ORG: 1})
        path = "/volary.platform.v1.QueueService/ListQueues"
        assert (await http.post(path, json={})).status_code == 200
        with counting_statements(api.database) as executed:
            refused = await http.post(path, json={})
        assert not executed
        assert refused.status_code == 429
        assert refused.headers["retry-after"] == "1"
        assert refused.json()["code"] == "resource_exhausted"
        assert "API requests per second of org acme" in refused.json()["message"]
        assert (await http.get("/healthz")).status_code == 200
