"""Conditions: a run that waits for a signal continues when it receives one."""

import pytest
from connectrpc.code import Code
from connectrpc.errors import ConnectError
from flyteidl2.common.identifier_pb2 import ActionIdentifier
from flyteidl2.common.phase_pb2 import ActionPhase
from flyteidl2.workflow.run_service_pb2 import (
    EventPayload,
    SignalEventRequest,
    WatchActionsRequest,
)

from tests.system.api_client import ApiClient, refusal
from tests.system.commands import Flyte

PAUSED = ActionPhase.ACTION_PHASE_PAUSED


async def asked(api: ApiClient, root: ActionIdentifier) -> ActionIdentifier:
    """Wait until a run waits for a signal; return the name of its condition action."""
    async for answer in api.runs.watch_actions(
        WatchActionsRequest(run_id=root.run), timeout_ms=30_000
    ):
        for enriched in answer.enriched_actions:
            if enriched.action.status.phase == PAUSED:
                return enriched.action.id
    raise AssertionError("the watch ended")


@pytest.mark.parametrize(
    ("kind", "payload", "result"),
    [
        ("bool", EventPayload(bool_value=False), "bool False"),
        ("int", EventPayload(int_value=-7), "int -7"),
        ("float", EventPayload(float_value=0.5), "float 0.5"),
        ("str", EventPayload(string_value="yes ✓"), "str yes ✓"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_condition_signal_of_each_type_reaches_the_task(
    api: ApiClient, kind: str, payload: EventPayload, result: str
) -> None:
    root = await api.start("approval.main", kind=kind)
    condition = await asked(api, root)

    await api.runs.signal_event(
        SignalEventRequest(action_id=condition, parent_action_name="a0", payload=payload)
    )

    assert await api.result(root) == [result]


async def test_condition_commands_list_and_signal(api: ApiClient, flyte: Flyte) -> None:
    root = await api.start("approval.main", kind="bool")
    condition = await asked(api, root)

    assert condition.name in str(flyte.read("condition", root.run.name))
    flyte("signal", "condition", root.run.name, condition.name, "true")

    assert await api.result(root) == ["bool True"]


async def test_condition_signal_of_wrong_type_is_rejected(api: ApiClient) -> None:
    root = await api.start("approval.main", kind="int")
    condition = await asked(api, root)

    code, message = await refusal(
        api.runs.signal_event(
            SignalEventRequest(
                action_id=condition,
                parent_action_name="a0",
                payload=EventPayload(string_value="seven"),
            )
        )
    )

    assert code is Code.INVALID_ARGUMENT
    assert "integer" in message.lower()
    assert (await api.details(condition)).status.phase == PAUSED


async def test_condition_first_signal_wins(api: ApiClient) -> None:
    root = await api.start("approval.main", kind="int")
    condition = await asked(api, root)

    answers = []
    for number in (1, 2):
        request = SignalEventRequest(
            action_id=condition,
            parent_action_name="a0",
            payload=EventPayload(int_value=number),
        )
        try:
            answers.append(str(await api.runs.signal_event(request)))
        except ConnectError as error:
            answers.append(error.message)

    assert await api.result(root) == ["int 1"], answers


async def test_condition_without_signal_times_out(api: ApiClient) -> None:
    root = await api.start("approval.impatient")

    assert await api.result(root) == ["nobody answered"]
    [condition] = await api.children(root)
    assert condition.status.phase == ActionPhase.ACTION_PHASE_TIMED_OUT
