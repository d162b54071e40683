"""Inputs uploaded before their run is created."""

import pytest
from flyteidl2.common.identifier_pb2 import RunIdentifier
from flyteidl2.core.interface_pb2 import Parameter
from flyteidl2.core.literals_pb2 import KeyValuePair
from flyteidl2.core.tasks_pb2 import TaskMetadata, TaskTemplate
from flyteidl2.dataproxy.dataproxy_service_pb2 import UploadInputsRequest
from flyteidl2.task.common_pb2 import Inputs, NamedLiteral, NamedParameter
from flyteidl2.task.task_definition_pb2 import TaskIdentifier, TaskSpec

from controlplane.core.actions import TaskInfo
from controlplane.core.callers import Caller
from controlplane.core.errors import InvalidError, NotFoundError
from controlplane.core.tasks import NewTask, TaskKey
from controlplane.store.resources.tasks import deploy_task
from shared.model.ids import DomainName, ProjectName
from tests.contract.blobs.world import (
    CALLER,
    PROJECT,
    STRANGER,
    World,
    make_inputs,
    make_literal,
)
from tests.factories import NOW, ORG, make_spec

SPEC = TaskSpec(
    task_template=TaskTemplate(metadata=TaskMetadata(cache_ignore_input_vars=["seed"])),
    default_inputs=[
        NamedParameter(name="y", parameter=Parameter(default=make_literal(7))),
        NamedParameter(name="z", parameter=Parameter(required=True)),
    ],
)


async def upload(
    world: World, inputs: Inputs, *, caller: Caller = CALLER, base_dir: str = ""
) -> tuple[str, str]:
    request = UploadInputsRequest(
        project_id=PROJECT, task_spec=SPEC, inputs=inputs, base_dir=base_dir
    )
    answer = (await world.proxy.upload_inputs(caller, request)).offloaded_input_data
    return answer.uri, answer.inputs_hash


async def read(world: World, uri: str) -> dict[str, int]:
    inputs = Inputs.FromString(await world.blobs.read(uri, limit=10_000))
    return {each.name: each.value.scalar.primitive.integer for each in inputs.literals}


async def test_uploaded_inputs_include_task_defaults(world: World) -> None:
    uri, hash_ = await upload(world, make_inputs(x=1))

    assert uri.startswith(f"{world.own}/p/development/inputs/")
    assert uri.endswith("/inputs.pb")
    assert len(hash_) == 44
    assert await read(world, uri) == {"x": 1, "y": 7}
    given, _ = await upload(world, make_inputs(x=1, y=2))
    assert await read(world, given) == {"x": 1, "y": 2}


async def test_uploaded_inputs_are_deduplicated_by_content(world: World) -> None:
    first = await upload(world, make_inputs(x=1))

    assert await upload(world, make_inputs(x=1)) == first
    other = await upload(world, make_inputs(x=2))
    assert other[0] != first[0]
    assert other[1] != first[1]


async def test_ignored_input_is_stored_but_not_hashed(world: World) -> None:
    one_uri, one_hash = await upload(world, make_inputs(x=1, seed=1))
    two_uri, two_hash = await upload(world, make_inputs(x=1, seed=2))

    assert one_hash == two_hash
    assert (await read(world, one_uri))["seed"] == 1
    assert (await read(world, two_uri))["seed"] == 2


async def test_input_hash_ignores_order_and_context(world: World) -> None:
    _, plain = await upload(world, make_inputs(x=1, y=2))
    swapped = make_inputs(y=2, x=1)
    swapped.context.append(KeyValuePair(key="who", value="ada"))

    assert (await upload(world, swapped))[1] == plain


async def test_input_hash_distinguishes_nested_types_of_equal_content(world: World) -> None:
    flat, nested = Inputs(), Inputs()
    pair = flat.literals.add(name="x").value.collection
    pair.literals.add().collection.literals.extend([make_literal(1), make_literal(2)])
    pairs = nested.literals.add(name="x").value.collection
    pairs.literals.add().collection.literals.append(make_literal(1))
    pairs.literals.add().collection.literals.append(make_literal(2))

    assert (await upload(world, flat))[1] != (await upload(world, nested))[1]


async def test_upload_inputs_before_the_run_exists(world: World) -> None:
    run = RunIdentifier(org=ORG, project="p", domain="development", name="later")
    request = UploadInputsRequest(run_id=run, task_spec=SPEC, inputs=make_inputs(x=1))

    answer = await world.proxy.upload_inputs(CALLER, request)

    assert await world.blobs.exists(answer.offloaded_input_data.uri)


async def test_upload_inputs_resolves_a_deployed_task(world: World) -> None:
    key = TaskKey(ProjectName("p"), DomainName("development"), "env.main", "v1")
    body = SPEC.SerializeToString(deterministic=True)
    async with world.database.for_org(ORG) as tx:
        new = NewTask(key=key, spec=make_spec(body), info=TaskInfo(name="env.main"))
        await deploy_task(tx, new, by="ada", now=NOW)
    task = TaskIdentifier(org=ORG, project="p", domain="development", name="env.main", version="v1")
    request = UploadInputsRequest(project_id=PROJECT, task_id=task, inputs=make_inputs(x=1, seed=5))

    answer = (await world.proxy.upload_inputs(CALLER, request)).offloaded_input_data

    assert await read(world, answer.uri) == {"x": 1, "y": 7, "seed": 5}
    assert answer.inputs_hash == (await upload(world, make_inputs(x=1)))[1]
    request.task_id.version = "v2"
    with pytest.raises(NotFoundError, match=r"env\.main@v2"):
        await world.proxy.upload_inputs(CALLER, request)


async def test_upload_inputs_rejects_invalid_requests(world: World) -> None:
    twice = Inputs(literals=[*make_inputs(x=1).literals, *make_inputs(x=2).literals])
    nameless = Inputs(literals=[NamedLiteral(value=make_literal(1))])
    empty = Inputs(literals=[NamedLiteral(name="x")])

    for inputs, reason in ((twice, "'x' twice"), (nameless, "no name"), (empty, "no value")):
        with pytest.raises(InvalidError, match=reason):
            await upload(world, inputs)


async def test_upload_inputs_uses_requested_base_within_the_org(world: World) -> None:
    uri, _ = await upload(world, make_inputs(x=1), base_dir=f"{world.own}/elsewhere/")
    assert uri.startswith(f"{world.own}/elsewhere/acme/p/development/inputs/")

    for base in (
        f"{world.blobs.base}/rival",
        f"{world.own}/../rival",
        f"{world.own}-2",
        "s3://theirs/base",
    ):
        with pytest.raises(InvalidError, match="must lie below"):
            await upload(world, make_inputs(x=1), base_dir=base)


async def test_upload_inputs_to_project_of_another_org_is_not_found(world: World) -> None:
    with pytest.raises(NotFoundError):
        await upload(world, make_inputs(x=1), caller=STRANGER)
