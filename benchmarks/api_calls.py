"""
Profiles the API's steps of one Enqueue call, without HTTP and without the database.

``python -m benchmarks.api_calls``. The request is what the SDK sends for a child of an
ordinary task, about 2 kB.
"""

import argparse
import asyncio
import logging
from collections.abc import Callable, Sequence
from time import perf_counter, process_time
from typing import Any

from connectrpc.request import Headers, RequestContext
from flyteidl2.actions.actions_service_pb2 import EnqueueRequest, EnqueueResponse
from prometheus_client import CollectorRegistry
from rich.console import Console
from rich.table import Table

from controlplane.api.convert.enqueues import parse_enqueue
from controlplane.api.interceptors import Interceptors, Rpc
from controlplane.api.metrics import CallMetrics
from controlplane.api.orgs import fill_org
from controlplane.api.validation import validate
from controlplane.api.wire import BoundedGzip
from controlplane.authn.anonymous import Anonymous
from controlplane.core.callers import Caller, Permission
from shared.kit.clock import SystemClock
from shared.model.ids import OrgName
from shared.traces.opening import make_recorder
from shared.traces.spans import NO_SPANS

_TIMES = 5_000
_RUNS = 1_000
_TURNS = 5


def make_request(run_name: str = "r1") -> EnqueueRequest:
    """Build an Enqueue request like one sent from a pod."""
    request = EnqueueRequest()
    action = request.action
    run = action.action_id.run
    run.org, run.project, run.domain, run.name = "acme", "flytesnacks", "development", run_name
    action.action_id.name, action.parent_action_name = "4ztnb8wkd6f1sq2qbrpxmd4xt", "a0"
    action.input_uri = "s3://bucket/acme/flytesnacks/development/r1/4ztnb8wkd6f1sq2/inputs.pb"
    action.run_output_base = "s3://bucket/acme/flytesnacks/development/r1"
    task = action.task
    task.id.org, task.id.project, task.id.domain = "acme", "flytesnacks", "development"
    task.id.name, task.id.version = "env.child", "c0ffee" * 5
    template = task.spec.task_template
    template.id.org, template.id.project, template.id.domain = "acme", "flytesnacks", "development"
    template.id.name, template.id.version = "env.child", "c0ffee" * 5
    template.type = "python"
    template.metadata.discovery_version = "1"
    template.metadata.retries.retries = 3
    template.container.image = "ghcr.io/flyteorg/flyte:py3.11-v2.12.1"
    template.container.args.extend(f"--argument-{number}={{{{.input}}}}" for number in range(30))
    for number in range(8):
        template.container.env.add(key=f"VARIABLE_{number}", value="a value of some length")
        variable = template.interface.inputs.variables.add(key=f"x{number}").value
        variable.type.simple = 1
        variable.description = "an input"
    task.spec.short_name, task.spec.environment.name = "child", "env"
    return request


def _time(call: Callable[[], object]) -> float:
    """Return microseconds per call."""
    for _ in range(100):
        call()
    started = perf_counter()
    for _ in range(_TIMES):
        call()
    return (perf_counter() - started) / _TIMES * 1e6


async def _time_call(
    answer: Callable[[Any, Any], Any], requests: Sequence[EnqueueRequest]
) -> float:
    started = process_time()
    for number in range(_TIMES):
        context = RequestContext[Any, Any](
            method=None,  # type: ignore[arg-type]  # nobody asks
            http_method="POST",
            request_headers=Headers({"x-request-id": "flytesnacks-development-r1-a0-1a2b"}),
            timeout_ms=5000,
            client_address="127.0.0.1:4711",
        )
        await answer(requests[number % len(requests)], context)
    return (process_time() - started) / _TIMES * 1e6


async def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    request = make_request()
    body = request.SerializeToString()
    packed = BoundedGzip().compress(body)
    # Nobody listens there, so spans are dropped; recording them costs the same.
    recorders = {
        "no traces": NO_SPANS,
        "1 % traced": make_recorder("http://127.0.0.1:9", service="benchmark", ratio=0.01),
        "all traced": make_recorder("http://127.0.0.1:9", service="benchmark", ratio=1),
    }

    async def nothing(_caller: Caller, _request: EnqueueRequest) -> EnqueueResponse:
        return EnqueueResponse()

    rpc = Rpc("flyteidl2.actions.ActionsService/Enqueue", Permission.ACTION_ENQUEUE)
    answers = {
        name: Interceptors(
            Anonymous(OrgName("acme")), CallMetrics(CollectorRegistry()), SystemClock(), spans=spans
        ).unary(rpc, nothing)
        for name, spans in recorders.items()
    }
    logging.getLogger("controlplane").setLevel(logging.WARNING)
    validation = _time(lambda: validate(request))
    requests = [make_request(f"r{number}") for number in range(_RUNS)]
    spent_with: dict[str, float] = dict.fromkeys(answers, float("inf"))
    for _ in range(_TURNS):  # by turns: the machine is shared
        for name, answer in answers.items():
            spent_with[name] = min(spent_with[name], await _time_call(answer, requests))
    for spans in recorders.values():
        await spans.close()
    whole = spent_with["no traces"]

    table = Table("step", "µs", title=f"One Enqueue of {len(body)} bytes, {len(packed)} packed")
    for step, spent in (
        ("unpack gzip", _time(lambda: BoundedGzip().decompress(packed))),
        ("parse the message", _time(lambda: EnqueueRequest.FromString(body))),
        ("fill in the org", _time(lambda: fill_org(request, "acme"))),
        ("validate", validation),
        ("interceptors besides validation", whole - validation),
        ("more with 1 % of runs traced", spent_with["1 % traced"] - whole),
        ("more with all runs traced", spent_with["all traced"] - whole),
        ("message to NewAction, spec known", _time(lambda: parse_enqueue(request.action))),
    ):
        table.add_row(step, f"{spent:.1f}")
    Console().print(table)


if __name__ == "__main__":
    asyncio.run(main())
