"""Logs over the resource API: what is refused, and that nothing is left of a client that left."""

from datetime import timedelta

import httpx
import pytest

from tests.integration.api.client import ApiUnderTest
from tests.integration.api.requests import create_run
from tests.integration.api.test_resource_reads import BASE, http, refused
from tests.running import until

__all__ = ["http"]

SHORT = timedelta(milliseconds=10)
LOGS = f"{BASE}/runs/r1/actions/a0/logs"


@pytest.mark.parametrize(
    ("query", "status", "named"),
    [
        ({"attempt": "many"}, 400, "attempt: 'many' is no number"),
        ({"attempt": "-1"}, 400, "attempt"),
        ({"limit": "1001"}, 400, "limit"),
        ({"tail": "5"}, 400, "'tail' is unknown; there are attempt, follow, first_line, limit"),
        ({"follow": "yes"}, 400, "follow: is 'yes'; send true or false"),
        ({"follow": "true"}, 400, "attempt"),
        ({"follow": "true", "attempt": "9"}, 404, "number 9"),
        ({"follow": "true", "attempt": "1", "first_line": "3"}, 400, "first_line: is not for"),
    ],
)
async def test_refused_log_names_the_parameter(
    api: ApiUnderTest, http: httpx.AsyncClient, query: dict[str, str], status: int, named: str
) -> None:
    await api.runs.create_run(create_run())
    await api.finish()

    assert named in await refused(http, LOGS, status, **query)


@pytest.mark.parametrize("query", [{}, {"follow": "true", "attempt": "1"}])
async def test_log_of_another_org_or_run_does_not_exist(
    api: ApiUnderTest, http: httpx.AsyncClient, query: dict[str, str]
) -> None:
    await api.runs.create_run(create_run())

    assert "org" in await refused(http, LOGS.replace("/-/", "/globex/"), 404, **query)
    assert "r2" in await refused(http, LOGS.replace("/r1/", "/r2/"), 404, **query)


async def test_stream_ends_when_its_client_leaves(
    api: ApiUnderTest, http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("controlplane.api.dataproxy.SILENT_FOR", SHORT)
    await api.runs.create_run(create_run())  # its attempt has not begun
    streams = api.api.interceptors.streams

    async with http.stream("GET", LOGS, params={"follow": "true", "attempt": "1"}) as answer:
        assert await anext(answer.aiter_lines()) == ""
        assert len(streams) == 1

    await until(lambda: not len(streams), "the stream is closed")
