"""Notifications of runs that a trigger starts."""

import json
from collections.abc import Sequence
from datetime import timedelta

import pytest
from flyteidl2.common.phase_pb2 import ActionPhase
from flyteidl2.notification.definition_pb2 import HttpMethod
from flyteidl2.task.run_pb2 import InlineRule
from flyteidl2.workflow.run_service_pb2 import AbortRunRequest, ListRunsRequest

from controlplane.core.callers import EVERYTHING, Caller, Subject, org_wide
from controlplane.core.named_notifications import DeliveryConfig, NamedKind, NamedRule
from controlplane.core.notifications import Webhook
from controlplane.loops.deliveries import DeliveryLoop
from controlplane.usecases.named_notifications import NamedNotifications
from controlplane.usecases.senders import make_senders
from shared.model.phases import Phase
from tests.factories import ORG, make_failure
from tests.integration.api.client import ApiUnderTest
from tests.integration.api.requests import enqueue_condition
from tests.integration.api.triggers import deploy_scheduled, of_task, trigger_name
from tests.integration.loops.receivers import BODY, OPEN, make_rule
from tests.integration.loops.scheduling import (
    MINUTE,
    SetClock,
    api,
    claim_all,
    clock,
    first_instant,
    make,
    rows,
)
from tests.integration.runs import SEALED_CONFIGS, make_deliveries
from tests.servers.webhooks import Receiver, receiving

__all__ = ["api", "clock"]

OPERATOR = Caller(subject=Subject("operator:test"), org=ORG, name="", grants=org_wide(EVERYTHING))
ENDS = [Phase.SUCCEEDED, Phase.FAILED, Phase.ABORTED, Phase.TIMED_OUT]


async def deploy(api: ApiUnderTest, *rules: InlineRule, name: str = "") -> None:
    """Deploy a task with a trigger whose runs report by these rules, or the one of this name."""
    request = deploy_scheduled(of_task())
    spec = request.triggers[0].spec.run_spec
    if name:
        spec.notification_rule_name = name
    else:
        spec.notification_rules.rules.extend(rules)
    await api.tasks.deploy_task(request)


async def fire(api: ApiUnderTest, clock: SetClock) -> str:
    """Let the trigger start one run; return its name."""
    clock.time = await first_instant(api) + timedelta(seconds=5)
    assert await make(api, clock).run_once() == 1
    [run] = (await api.runs.list_runs(ListRunsRequest(trigger_name=trigger_name()))).runs
    return str(run.action.id.run.name)


async def end(api: ApiUnderTest, clock: SetClock, phase: Phase) -> None:
    """End the run: by an abort, or by its attempt's report."""
    if phase is Phase.ABORTED:
        [run] = (await api.runs.list_runs(ListRunsRequest(trigger_name=trigger_name()))).runs
        await api.runs.abort_run(AbortRunRequest(run_id=run.action.id.run))
        return
    failure = None if phase is Phase.SUCCEEDED else make_failure(recoverable=False)
    for assignment in await claim_all(api, clock.now()):
        await api.report(assignment, Phase.RUNNING, phase, failure=failure)


async def expand(api: ApiUnderTest, clock: SetClock) -> Sequence[tuple[object, ...]]:
    """Return the receivers to which the run is reported, and the phases."""
    await make_deliveries(api.database, clock).expand(ORG)
    return await rows(api, "SELECT target, phase FROM deliveries ORDER BY target")


async def deliver(api: ApiUnderTest, clock: SetClock) -> None:
    deliveries = make_deliveries(api.database, clock, OPEN)
    loop = DeliveryLoop(api.database, clock, deliveries, every=timedelta(hours=1))
    await loop.run_once()
    await loop.run_once()


def phases(receiver: Receiver) -> Sequence[str]:
    return [json.loads(body)["phase"] for body in receiver.bodies]


async def test_each_run_of_a_trigger_is_reported(api: ApiUnderTest, clock: SetClock) -> None:
    request = deploy_scheduled(of_task())
    rule = request.triggers[0].spec.run_spec.notification_rules.rules.add(
        on_phases=[ActionPhase.ACTION_PHASE_ABORTED]
    )
    rule.delivery_template.webhook.url = "https://hooks.example/T0"
    rule.delivery_template.webhook.method = HttpMethod.HTTP_METHOD_POST
    await api.tasks.deploy_task(request)
    clock.time = await first_instant(api) + 2 * MINUTE + timedelta(seconds=5)
    assert await make(api, clock).run_once() == 3

    for run in (await api.runs.list_runs(ListRunsRequest(trigger_name=trigger_name()))).runs:
        await api.runs.abort_run(AbortRunRequest(run_id=run.action.id.run))
    await make_deliveries(api.database, clock).expand(ORG)

    found = await rows(api, "SELECT DISTINCT run_id, target FROM deliveries")
    assert [target for _, target in found] == ["https://hooks.example"] * 3


@pytest.mark.parametrize("phase", ENDS, ids=lambda phase: phase.name)
async def test_rules_of_a_trigger_report_the_phase_that_they_name(
    api: ApiUnderTest, clock: SetClock, phase: Phase
) -> None:
    await deploy(
        api,
        make_rule("https://this.example", phase),
        make_rule("https://others.example", *(each for each in ENDS if each is not phase)),
        make_rule("https://all.example", *ENDS),
    )
    await fire(api, clock)
    await end(api, clock, phase)

    assert await expand(api, clock) == [
        ("https://all.example", phase.value),
        ("https://this.example", phase.value),
    ]


async def test_rule_of_a_trigger_reports_a_condition_that_waits(
    api: ApiUnderTest, clock: SetClock
) -> None:
    await deploy(api, make_rule("https://this.example", Phase.PAUSED, body="{{.Prompt}}"))
    run = await fire(api, clock)
    request = enqueue_condition("approve")
    request.action.action_id.run.name = run
    await api.actions.enqueue(request)

    assert await expand(api, clock) == [("https://this.example", Phase.PAUSED.value)]


async def test_run_of_a_trigger_whose_rule_was_deleted_starts_and_is_not_reported(
    api: ApiUnderTest, clock: SetClock
) -> None:
    async with receiving() as receiver:
        named = await make_named(api, clock, receiver.url)
        await deploy(api, name="nightly")
        await named.delete(OPERATOR, NamedKind.RULE, "nightly")
        await fire(api, clock)
        await end(api, clock, Phase.FAILED)
        await deliver(api, clock)

    assert receiver.keys == []
    assert await rows(api, "SELECT 1 FROM deliveries") == []


async def test_run_of_a_trigger_whose_receiver_was_removed_starts_and_is_not_reported(
    api: ApiUnderTest, clock: SetClock
) -> None:
    async with receiving() as receiver:
        named = await make_named(api, clock, receiver.url)
        rule = InlineRule(on_phases=["ACTION_PHASE_FAILED"], delivery_config_name="oncall")
        await deploy(api, rule)
        await named.delete(OPERATOR, NamedKind.RULE, "nightly")
        await named.delete(OPERATOR, NamedKind.CONFIG, "oncall")
        await fire(api, clock)
        await end(api, clock, Phase.FAILED)
        await deliver(api, clock)

    assert receiver.keys == []
    assert await rows(api, "SELECT 1 FROM deliveries") == []


async def test_changed_rule_holds_for_the_next_run_of_a_trigger(
    api: ApiUnderTest, clock: SetClock
) -> None:
    async with receiving() as before, receiving() as after:
        named = await make_named(api, clock, before.url)
        await deploy(api, name="nightly")
        await named.create(OPERATOR, make_config("other", after.url))
        await named.update(
            OPERATOR,
            NamedRule(name="nightly", phases=frozenset({Phase.SUCCEEDED}), configs=["other"]),
            {"phases": frozenset({Phase.SUCCEEDED}), "configs": ["other"]},
        )
        await fire(api, clock)
        await end(api, clock, Phase.SUCCEEDED)
        await deliver(api, clock)

    assert before.keys == []
    assert phases(after) == ["SUCCEEDED"]


def make_config(name: str, url: str) -> DeliveryConfig:
    return DeliveryConfig(name=name, webhook=Webhook(url=url, body=BODY))


async def make_named(api: ApiUnderTest, clock: SetClock, url: str) -> NamedNotifications:
    """Make the rule ``nightly``, which reports failures by the configuration ``oncall``."""
    named = NamedNotifications(api.database, clock, make_senders(OPEN), SEALED_CONFIGS)
    await named.create(OPERATOR, make_config("oncall", url))
    await named.create(
        OPERATOR,
        NamedRule(name="nightly", phases=frozenset({Phase.FAILED}), configs=["oncall"]),
    )
    return named
