"""Tasks that call tasks: every call is an action with a parent, and a group if it has one."""

from collections.abc import Mapping, Sequence

from flyteidl2.common.phase_pb2 import ActionPhase
from flyteidl2.workflow.run_definition_pb2 import Action

from tests.system.api_client import ApiClient


def by_task(actions: Sequence[Action]) -> Mapping[str, list[Action]]:
    found: dict[str, list[Action]] = {}
    for action in actions:
        found.setdefault(action.metadata.task.short_name, []).append(action)
    return found


async def test_nested_tasks_run(api: ApiClient) -> None:
    root = await api.start("nested.main")

    assert await api.result(root) == [10]
    actions = by_task(await api.children(root))
    [middle] = actions["middle"]
    assert middle.metadata.parent == "a0"
    assert [leaf.metadata.parent for leaf in actions["leaf"]] == [middle.id.name] * 2


async def test_nested_actions_succeed_at_first_attempt(
    api: ApiClient,
) -> None:
    details = await api.finish("nested.main")

    for action in await api.children(details.id):
        assert action.status.phase == ActionPhase.ACTION_PHASE_SUCCEEDED
        assert action.status.attempts == 1
        assert action.status.end_time.ToDatetime() >= action.status.start_time.ToDatetime()


async def test_groups_label_their_actions(api: ApiClient) -> None:
    root = await api.start("nested.grouped")

    assert await api.result(root) == [110]
    assert {action.metadata.group for action in await api.children(root)} == {"tens", "hundreds"}


async def test_map_keeps_input_order(api: ApiClient) -> None:
    root = await api.start("nested.mapped", numbers=5)

    assert await api.result(root) == [[0, 2, 4, 6, 8]]
    assert len(await api.children(root)) == 5


async def test_waiting_parents_do_not_block_children(api: ApiClient) -> None:
    assert await api.result(await api.start("nested.deep", levels=8)) == [8]


async def test_nested_run_has_more_children_than_cores(api: ApiClient) -> None:
    assert await api.result(await api.start("nested.broad", numbers=25)) == [sum(range(25))]


async def test_child_outputs_are_readable(api: ApiClient) -> None:
    details = await api.finish("nested.main")

    outputs = [await api.outputs(action.id) for action in await api.children(details.id)]
    assert sorted(outputs, key=str) == [[0], [10], [10]]
