"""What a task finds around it."""

from pathlib import Path

from flyteidl2.core.literals_pb2 import KeyValuePair
from flyteidl2.task.run_pb2 import Envs, RunSpec

from tests.system.api_client import ApiClient
from tests.system.stack import Stack

NAMES = ["FROM_TASK", "FROM_RUN", "BOTH"]
RUN = RunSpec(
    envs=Envs(values=[KeyValuePair(key=name, value="run") for name in ("FROM_RUN", "BOTH")])
)


async def test_the_runs_variables_lie_over_the_tasks(api: ApiClient) -> None:
    root = await api.start("surroundings.variables", run_spec=RUN, names=list(NAMES))

    assert await api.result(root) == [["task", "run", "run"]]


async def test_the_runs_variables_reach_every_child(api: ApiClient) -> None:
    root = await api.start("surroundings.parent", run_spec=RUN, names=list(NAMES))

    assert await api.result(root) == [["task", "run", "run"]]


async def test_nobody_can_pretend_to_be_another_action(api: ApiClient) -> None:
    lie = RunSpec(envs=Envs(values=[KeyValuePair(key="ACTION_NAME", value="another")]))
    root = await api.start("surroundings.variables", run_spec=lie, names=["ACTION_NAME"])

    assert await api.result(root) == [["a0"]]


async def test_no_secret_of_ours_is_among_the_variables(api: ApiClient, stack: Stack) -> None:
    [names] = await api.result(await api.start("surroundings.inherited"))

    assert isinstance(names, list)
    token = (stack.data / "secrets" / "cluster-token").read_text().strip()
    values = [await api.result(await api.start("surroundings.variables", names=names))]
    assert token not in str(values)
    assert [name for name in names if str(name).startswith("VOLARY_")] == ["VOLARY_ATTEMPT"]


async def test_a_task_knows_where_it_is(api: ApiClient) -> None:
    root = await api.start("surroundings.whereabouts")

    [found] = await api.result(root)
    assert isinstance(found, list)
    assert found[:4] == ["flytesnacks", "development", root.run.name, "a0"]


async def test_a_task_works_in_a_directory_of_its_own(api: ApiClient, stack: Stack) -> None:
    places = [
        Path(str(found[4]))
        for found in [
            (await api.result(await api.start("surroundings.whereabouts")))[0] for _ in range(2)
        ]
        if isinstance(found, list)
    ]

    assert len(set(places)) == 2
    assert all(place.is_relative_to(stack.data / "agent") for place in places)
