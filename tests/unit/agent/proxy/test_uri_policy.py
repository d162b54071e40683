"""Which URIs an attempt may read and write, over a directory as store."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from flyteidl2.core.literals_pb2 import Literal
from flyteidl2.task.common_pb2 import Inputs

from dataplane.agent.kube.objects import annotate_attempt
from dataplane.agent.proxy import proxy_limits
from dataplane.agent.proxy.callers import Caller, identify
from dataplane.agent.proxy.errors import PodCallRefusedError
from dataplane.agent.proxy.uri_policy import UriForbiddenError, UriPolicy
from shared.blobs.store import BlobStore, open_store
from tests.unit.agent.assignments import make_assignment


class _Counting:
    """Opens stores, and counts how often something is read of them."""

    def __init__(self) -> None:
        self.reads = 0

    def open(self, base: str) -> BlobStore:
        store = open_store(base)
        read = store.read

        async def counted(uri: str, *, limit: int) -> bytes:
            self.reads += 1
            return await read(uri, limit=limit)

        store.read = counted  # type: ignore[method-assign]
        return store


def _caller(base: str, number: int = 1) -> Caller:
    return identify(
        {
            "metadata": {
                "namespace": "n",
                "name": "p",
                "uid": "u",
                "annotations": annotate_attempt(make_assignment(number, base=base)),
            }
        }
    )


def _blob(uri: str) -> Literal:
    literal = Literal()
    literal.scalar.blob.uri = uri
    return literal


async def _give(base: str, caller: Caller, **literals: Literal) -> None:
    inputs = Inputs()
    for name, value in literals.items():
        inputs.literals.add(name=name).value.CopyFrom(value)
    await open_store(base).write(caller.input_uri, inputs.SerializeToString())


@pytest.fixture
def base(tmp_path: Path) -> str:
    return f"file://{tmp_path}/blobs"


async def test_uris_are_found_wherever_a_literal_has_them(base: str) -> None:
    caller = _caller(base)
    org = f"{base}/{caller.org}"
    deep = Literal()
    deep.map.literals["k"].collection.literals.add().scalar.union.value.CopyFrom(
        _blob(f"{org}/deep")
    )
    table = Literal()
    table.scalar.structured_dataset.uri = f"{org}/table/"
    plain = Literal()
    plain.scalar.primitive.string_value = f"{org}/only-said"
    offloaded = Literal()
    offloaded.offloaded_metadata.uri = f"{org}/offloaded"
    await _give(base, caller, a=deep, b=table, c=plain, d=offloaded)
    bounds = UriPolicy(open_store)

    for name in ("deep", "table/part-1", "offloaded"):
        await bounds.require_read(caller, f"{org}/{name}")
    for name in ("only-said", "deeper", "tables"):
        with pytest.raises(UriForbiddenError):
            await bounds.require_read(caller, f"{org}/{name}")


async def test_inputs_are_read_once_however_many_ask(base: str) -> None:
    caller, counting = _caller(base), _Counting()
    await _give(base, caller, a=_blob(f"{base}/{caller.org}/x"))
    bounds = UriPolicy(counting.open)
    await asyncio.gather(
        *(bounds.require_read(caller, f"{base}/{caller.org}/x") for _ in range(20))
    )
    assert counting.reads == 1


async def test_cache_of_input_uris_is_bounded(base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy_limits, "URIS_KNOWN", 3)
    counting = _Counting()
    bounds = UriPolicy(counting.open)
    callers = [_caller(base, number) for number in (1, 2)]
    for caller in callers:
        literals = {name: _blob(f"{base}/{caller.org}/{name}") for name in ("a", "b")}
        await _give(base, caller, **literals)
    for caller in [*callers, *callers]:
        await bounds.require_read(caller, f"{base}/{caller.org}/a")
    assert counting.reads == 4


async def test_another_orgs_is_not_read_though_the_inputs_name_it(base: str) -> None:
    caller = _caller(base)
    await _give(base, caller, a=_blob(f"{base}/another/x"), b=_blob("s3://elsewhere/y"))
    bounds = UriPolicy(open_store)
    for uri in (f"{base}/another/x", "s3://elsewhere/y"):
        with pytest.raises(UriForbiddenError):
            await bounds.require_read(caller, uri)


@pytest.mark.parametrize("where", ["another/x/inputs.pb", "acme/../another/x/inputs.pb"])
async def test_input_uri_of_another_org_is_not_read(base: str, where: str) -> None:
    caller = replace(_caller(base), input_uri=f"{base}/{where}")
    foreign = Inputs()
    foreign.literals.add(name="a").value.CopyFrom(_blob(f"{base}/{caller.org}/private"))
    await open_store(base).write(f"{base}/another/x/inputs.pb", foreign.SerializeToString())
    bounds = UriPolicy(open_store)
    # Neither those inputs, nor what they name.
    for uri in (caller.input_uri, f"{base}/another/x/inputs.pb", f"{base}/{caller.org}/private"):
        with pytest.raises(UriForbiddenError):
            await bounds.require_read(caller, uri)


async def test_own_input_uri_is_read(base: str) -> None:
    caller = replace(_caller(base))
    caller = replace(caller, input_uri=f"{base}/{caller.org}/q/production/inputs/1/inputs.pb")
    await UriPolicy(open_store).require_read(caller, caller.input_uri)


async def test_steps_out_of_the_run_are_not_followed(base: str) -> None:
    caller = _caller(base)
    steps = "../" * 4
    for uri in (f"{caller.run_base}/{steps}another/x", f"{caller.run_base}/./a1/outputs.pb"):
        with pytest.raises(UriForbiddenError):
            await UriPolicy(open_store).require_read(caller, uri)
    with pytest.raises(UriForbiddenError):
        UriPolicy(open_store).require_written(caller, f"{caller.output_prefix}/{steps}another/x")


async def test_task_without_inputs_reads_only_its_run(base: str) -> None:
    caller = _caller(base)
    bounds = UriPolicy(open_store)
    await bounds.require_read(caller, f"{caller.run_base}/a7/inputs.pb")
    with pytest.raises(UriForbiddenError):
        await bounds.require_read(caller, f"{base}/{caller.org}/x")


async def test_damaged_inputs_are_reported(base: str) -> None:
    caller = _caller(base)
    await open_store(base).write(caller.input_uri, b"\xff\xff\xff")
    with pytest.raises(PodCallRefusedError, match="the inputs are invalid"):
        await UriPolicy(open_store).require_read(caller, f"{base}/{caller.org}/x")


async def test_raw_data_elsewhere_is_refused_with_the_remedy(base: str) -> None:
    caller = _caller(base)  # its raw data prefix is beside the org's own
    bounds = UriPolicy(open_store)
    bounds.require_written(caller, f"{caller.output_prefix}/outputs.pb")
    with pytest.raises(UriForbiddenError, match="raw_data_storage"):
        bounds.require_written(caller, f"{caller.raw_data_prefix}/x")
