"""TranslatorService through the API: forms of tasks, of runs that exist, and values without the SDK."""

from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest
from connectrpc.code import Code
from flyteidl2.core.interface_pb2 import VariableMap
from flyteidl2.core.types_pb2 import SimpleType
from flyteidl2.task.common_pb2 import Inputs, NamedLiteral
from flyteidl2.workflow.run_service_pb2 import GetActionDataURIsRequest
from flyteidl2.workflow.translator_service_pb2 import (
    JsonValuesToLiteralsRequest,
    LaunchFormJsonToLiteralsRequest,
    LiteralsToLaunchFormJsonRequest,
    TaskSpecToLaunchFormJsonRequest,
)
from google.protobuf import json_format
from google.protobuf.struct_pb2 import Struct

from controlplane.api.translator import MAX_BYTES
from controlplane.core.callers import EVERYTHING, Caller, Grant, Subject, org_wide
from tests.integration.api.client import ORG, ApiUnderTest, open_api
from tests.integration.api.requests import action_id, create_run, refusal, task_spec


class Chosen:
    """Authenticates every call with the grants that the test has chosen."""

    def __init__(self) -> None:
        self.grants: tuple[Grant, ...] = org_wide(EVERYTHING)

    async def authenticate(self, _headers: Mapping[str, str], _peer: str | None) -> Caller:
        return Caller(subject=Subject("user:ada"), org=ORG, name="Ada", grants=self.grants)


@pytest.fixture
def chosen() -> Chosen:
    return Chosen()


@pytest.fixture
async def api(database_url: str, tmp_path: Path, chosen: Chosen) -> AsyncIterator[ApiUnderTest]:
    async with open_api(database_url, tmp_path / "blobs", authn=chosen) as api:
        yield api


def variables() -> VariableMap:
    found = VariableMap()
    for name, type_ in (("n", SimpleType.INTEGER), ("who", SimpleType.STRING)):
        found.variables.add(key=name).value.type.simple = type_
    return found


def literals() -> list[NamedLiteral]:
    n, who = NamedLiteral(name="n"), NamedLiteral(name="who")
    n.value.scalar.primitive.integer = 2**60
    who.value.scalar.primitive.string_value = "you"
    return [n, who]


async def run_with_inputs(api: ApiUnderTest) -> str:
    """Create a run, and return where its inputs are."""
    await api.runs.create_run(create_run(inputs=Inputs(literals=literals())))
    answer = await api.runs.get_action_data_u_r_is(GetActionDataURIsRequest(action_id=action_id()))
    return str(answer.inputs_uri)


async def test_form_of_a_task_is_filled_in_and_read(api: ApiUnderTest) -> None:
    spec = task_spec()
    spec.task_template.interface.inputs.CopyFrom(variables())
    form = (
        await api.translator.task_spec_to_launch_form_json(
            TaskSpecToLaunchFormJsonRequest(task_spec=spec)
        )
    ).json
    filled = json_format.MessageToDict(form)
    filled["properties"]["n"]["default"] = str(2**60)
    filled["properties"]["who"]["default"] = "you"
    form.update(filled)

    answer = await api.translator.launch_form_json_to_literals(
        LaunchFormJsonToLiteralsRequest(json=form)
    )

    assert list(answer.literals) == literals()


async def test_values_become_literals_of_a_run(api: ApiUnderTest) -> None:
    values = Struct()
    values.update({"n": str(2**60), "who": "you"})

    answer = await api.translator.json_values_to_literals(
        JsonValuesToLiteralsRequest(variables=variables(), values=values)
    )

    assert list(answer.literals) == literals()


async def test_form_of_a_run_has_the_inputs_at_its_uri(api: ApiUnderTest) -> None:
    uri = await run_with_inputs(api)

    answer = await api.translator.literals_to_launch_form_json(
        LiteralsToLaunchFormJsonRequest(
            variables=variables(), literals_uri=uri, action_id=action_id()
        )
    )

    properties = json_format.MessageToDict(answer.json)["properties"]
    assert {name: each["default"] for name, each in properties.items()} == {
        "n": str(2**60),
        "who": "you",
    }


async def test_literals_uri_that_is_not_the_actions_own_is_not_read(
    api: ApiUnderTest, chosen: Chosen
) -> None:
    uri = await run_with_inputs(api)

    async def ask(**fields: object) -> tuple[Code, str]:
        request = LiteralsToLaunchFormJsonRequest(variables=variables(), **fields)
        return await refusal(api.translator.literals_to_launch_form_json(request))

    foreign = uri.replace(f"/{ORG}/", "/another/")
    for other in (foreign, f"{uri}x", uri.replace("inputs.pb", "outputs.pb")):
        code, message = await ask(literals_uri=other, action_id=action_id())
        assert (code, "at this literals_uri" in message) == (Code.NOT_FOUND, True)
    assert (await ask(literals_uri=uri, action_id=action_id(run="r2")))[0] == Code.NOT_FOUND
    assert (await ask(literals_uri=uri))[0] == Code.INVALID_ARGUMENT
    both = {"literals_uri": uri, "literals": literals()}
    assert (await ask(**both, action_id=action_id()))[0] == Code.INVALID_ARGUMENT
    trigger = {"name": {"project": "flytesnacks", "domain": "development", "name": "t"}}
    assert (await ask(literals_uri=uri, trigger_id=trigger))[0] in {
        Code.UNIMPLEMENTED,
        Code.INVALID_ARGUMENT,
    }
    chosen.grants = ()
    assert (await ask(literals_uri=uri, action_id=action_id()))[0] == Code.NOT_FOUND


async def test_what_does_not_fit_is_refused_with_its_path(api: ApiUnderTest) -> None:
    values = Struct()
    values.update({"n": "five", "who": "you"})

    code, message = await refusal(
        api.translator.json_values_to_literals(
            JsonValuesToLiteralsRequest(variables=variables(), values=values)
        )
    )

    assert code == Code.INVALID_ARGUMENT
    assert message == "n: must be a whole number, not 'five'"


async def test_more_than_forms_are_made_of_is_refused(api: ApiUnderTest) -> None:
    values = Struct()
    values.update({"n": 1, "who": "x" * MAX_BYTES})

    code, message = await refusal(
        api.translator.json_values_to_literals(
            JsonValuesToLiteralsRequest(variables=variables(), values=values)
        )
    )

    assert code == Code.INVALID_ARGUMENT
    assert f"at most {MAX_BYTES}" in message
