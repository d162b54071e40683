"""Cache keys of roots, which the control plane makes: what a result depends on, and what it does not."""

import pytest
from flyteidl2.core.types_pb2 import SimpleType
from flyteidl2.dataproxy.dataproxy_service_pb2 import UploadInputsRequest
from flyteidl2.task.common_pb2 import Inputs
from flyteidl2.task.task_definition_pb2 import TaskSpec

from tests.integration.api.caching import HIT, MISS, cached_spec, details, run_everything
from tests.integration.api.client import ApiUnderTest
from tests.integration.api.requests import create_run, project_id

Case = tuple[TaskSpec, Inputs]


def make_case(*, ignored: tuple[str, ...] = (), number: int = 7, version: str = "1") -> Case:
    """Return a cached task with the inputs x, a number, and f, a file with a hash of its own."""
    made = cached_spec("env.main", ignored=ignored, version=version)
    inputs = made.task_template.interface.inputs.variables
    inputs.add(key="x").value.type.simple = SimpleType.INTEGER
    inputs.add(key="f").value.type.simple = SimpleType.STRING
    given = Inputs()
    given.literals.add(name="x").value.scalar.primitive.integer = number
    given.literals.add(name="f").value.scalar.primitive.string_value = "s3://b/one"
    given.literals[1].value.hash = "content"
    return made, given


def other_place(case: Case) -> Case:
    case[1].literals[1].value.scalar.primitive.string_value = "s3://b/two"
    return case


def other_content(case: Case) -> Case:
    case[1].literals[1].value.hash = "other"
    return case


def other_name(case: Case) -> Case:
    case[0].task_template.id.name = "env.renamed"
    return case


def other_type(case: Case) -> Case:
    case[0].task_template.interface.inputs.variables[1].value.type.simple = SimpleType.DATETIME
    return case


def other_image(case: Case) -> Case:
    case[0].task_template.container.image = "example.com/other:1"
    return case


CASES: dict[str, tuple[Case, Case, int]] = {
    "the same": (make_case(), make_case(), HIT),
    "another number": (make_case(), make_case(number=8), MISS),
    "another version of the code": (make_case(), make_case(version="2"), MISS),
    "another number that is ignored": (
        make_case(ignored=("x",)),
        make_case(ignored=("x",), number=8),
        HIT,
    ),
    "ignored inputs only": (
        make_case(ignored=("x", "f")),
        other_content(make_case(ignored=("x", "f"), number=8)),
        HIT,
    ),
    "a file elsewhere with the same hash": (make_case(), other_place(make_case()), HIT),
    "a file with another hash": (make_case(), other_content(make_case()), MISS),
    "a task of another name": (make_case(), other_name(make_case()), MISS),
    "an input of another type": (make_case(), other_type(make_case()), MISS),
    "another image": (make_case(), other_image(make_case()), HIT),
}


@pytest.mark.parametrize("uploaded", [False, True], ids=["inline", "uploaded"])
async def test_result_of_a_root_is_used_by_runs_that_have_its_code_and_inputs(
    api: ApiUnderTest, *, uploaded: bool
) -> None:
    async def start(name: str, pair: int, case: Case) -> None:
        inputs, spec = case[1], TaskSpec()
        spec.CopyFrom(case[0])
        metadata = spec.task_template.metadata
        metadata.discovery_version = f"{pair}-{metadata.discovery_version}"
        request = create_run(name, task_spec=spec, inputs=None if uploaded else inputs)
        if uploaded:
            answer = await api.data.upload_inputs(
                UploadInputsRequest(project_id=project_id(), task_spec=spec, inputs=inputs)
            )
            request.offloaded_input_data.CopyFrom(answer.offloaded_input_data)
        await api.runs.create_run(request)

    found = {}
    for pair, (what, (first, second, _)) in enumerate(CASES.items()):
        await start(f"a{pair}", pair, first)
        await run_everything(api, only="roots")
        await start(f"b{pair}", pair, second)
        found[what] = (await details(api, run=f"b{pair}")).status.cache_status
        await run_everything(api, only="roots")

    assert found == {what: expected for what, (_, _, expected) in CASES.items()}
