"""The environment of a task: variables, context, working directory."""

from pathlib import Path

from flyteidl2.core.literals_pb2 import KeyValuePair
from flyteidl2.task.run_pb2 import Envs, RunSpec

from tests.system.api_client import ApiClient
from tests.system.stack import Stack

NAMES = ["FROM_TASK", "FROM_RUN", "BOTH"]
RUN = RunSpec(
    envs=Envs(values=[KeyValuePair(key=name, value="run") for name in ("FROM_RUN", "BOTH")])
)


async def test_env_vars_of_the_run_override_the_tasks(api: ApiClient) -> None:
    root = await api.start("surroundings.variables", run_spec=RUN, names=list(NAMES))

    assert await api.result(root) == [["task", "run", "run"]]


async def test_env_vars_of_the_run_reach_children(api: ApiClient) -> None:
    root = await api.start("surroundings.parent", run_spec=RUN, names=list(NAMES))

    assert await api.result(root) == [["task", "run", "run"]]


async def test_env_vars_cannot_override_the_action_identity(api: ApiClient) -> None:
    lie = RunSpec(envs=Envs(values=[KeyValuePair(key="ACTION_NAME", value="another")]))
    root = await api.start("surroundings.variables", run_spec=lie, names=["ACTION_NAME"])

    assert await api.result(root) == [["a0"]]


async def test_env_vars_contain_no_volary_secret(api: ApiClient, stack: Stack) -> None:
    [names] = await api.result(await api.start("surroundings.inherited"))

    assert isinstance(names, list)
    token = (stack.data / "secrets" / "cluster-token").read_text().strip()
    values = [await api.result(await api.start("surroundings.variables", names=names))]
    assert token not in str(values)
    assert [name for name in names if str(name).startswith("VOLARY_")] == ["VOLARY_ATTEMPT"]


async def test_task_context_names_the_action(api: ApiClient) -> None:
    root = await api.start("surroundings.whereabouts")

    [found] = await api.result(root)
    assert isinstance(found, list)
    assert found[:4] == ["flytesnacks", "development", root.run.name, "a0"]


async def test_task_has_its_own_working_directory(api: ApiClient, stack: Stack) -> None:
    places = [
        Path(str(found[4]))
        for found in [
            (await api.result(await api.start("surroundings.whereabouts")))[0] for _ in range(2)
        ]
        if isinstance(found, list)
    ]

    assert len(set(places)) == 2
    assert all(place.is_relative_to(stack.data / "agent") for place in places)
