"""The loop that delivers notifications: rules and delivery configurations that runs name."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from flyteidl2.task.run_pb2 import InlineRule, RunSpec

from controlplane.api.convert.notifications import parse_notifications
from controlplane.core.actions import SpecKind
from controlplane.core.callers import EVERYTHING, Caller, Subject, org_wide
from controlplane.core.named_notifications import DeliveryConfig, NamedKind, NamedRule
from controlplane.core.notifications import DeliveryState, Webhook
from controlplane.core.runs import NewRun
from controlplane.usecases.deliveries import make_senders
from controlplane.usecases.named_notifications import NamedNotifications
from shared.model.phases import Phase
from tests.factories import NOW, ORG, make_new_run, make_spec
from tests.fakes.clock import FakeClock
from tests.integration.loops.receivers import (
    BODY,
    OPEN,
    fail_run,
    list_deliveries,
    make_loop,
)
from tests.integration.store.conftest import Store
from tests.servers.webhooks import receiving

OPERATOR = Caller(subject=Subject("operator:test"), org=ORG, name="", grants=org_wide(EVERYTHING))
LATER = timedelta(hours=2)
FAILED = frozenset({Phase.FAILED})


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(NOW)


@pytest.fixture
def named(store: Store, clock: FakeClock) -> NamedNotifications:
    return NamedNotifications(store.database, clock, make_senders(OPEN))


def make_run(message: RunSpec, name: str = "r1") -> NewRun:
    return replace(
        make_new_run(name),
        run_spec=make_spec(message.SerializeToString(deterministic=True), kind=SpecKind.RUN),
        notifications=parse_notifications(message),
    )


def make_config(name: str, url: str) -> DeliveryConfig:
    return DeliveryConfig(name=name, webhook=Webhook(url=url, body=BODY))


async def test_named_rule_reports_by_each_of_its_delivery_configurations(
    store: Store, clock: FakeClock, named: NamedNotifications
) -> None:
    async with receiving() as first, receiving() as second:
        for name, receiver in (("one", first), ("two", second)):
            await named.create(OPERATOR, make_config(name, receiver.url))
        await named.create(OPERATOR, NamedRule(name="n", phases=FAILED, configs=["one", "two"]))
        await fail_run(store, make_run(RunSpec(notification_rule_name="n")))
        loop = make_loop(store, clock)
        await loop.run_once()
        await loop.run_once()

    assert [json.loads(body)["phase"] for body in (*first.bodies, *second.bodies)] == ["FAILED"] * 2
    assert first.keys != second.keys


async def test_inline_rule_reports_by_a_configuration_as_it_is_when_it_is_sent(
    store: Store, clock: FakeClock, named: NamedNotifications
) -> None:
    async with receiving() as before, receiving() as after:
        await named.create(OPERATOR, make_config("chat", before.url))
        message = RunSpec()
        message.notification_rules.rules.append(
            InlineRule(on_phases=["ACTION_PHASE_FAILED"], delivery_config_name="chat")
        )
        await fail_run(store, make_run(message))
        changed = make_config("chat", after.url)
        await named.update(OPERATOR, changed, {"webhook": changed.webhook})
        await make_loop(store, clock).run_once()

    assert before.bodies == []
    assert len(after.bodies) == 1


async def test_delivery_fails_for_good_after_its_configuration_was_deleted(
    store: Store, clock: FakeClock, named: NamedNotifications
) -> None:
    async with receiving(500) as receiver:
        await named.create(OPERATOR, make_config("chat", receiver.url))
        message = RunSpec()
        message.notification_rules.rules.append(
            InlineRule(on_phases=["ACTION_PHASE_FAILED"], delivery_config_name="chat")
        )
        await fail_run(store, make_run(message))
        await make_loop(store, clock).run_once()
        await named.delete(OPERATOR, NamedKind.CONFIG, "chat")
        clock.advance(LATER)
        await make_loop(store, clock).run_once()

    assert len(receiver.keys) == 1
    assert await list_deliveries(store) == [
        (DeliveryState.FAILED, 0, "delivery configuration chat was deleted")
    ]


async def test_run_of_a_deleted_rule_is_not_reported(
    store: Store, clock: FakeClock, named: NamedNotifications
) -> None:
    async with receiving() as receiver:
        await named.create(OPERATOR, make_config("chat", receiver.url))
        await named.create(OPERATOR, NamedRule(name="n", phases=FAILED, configs=["chat"]))
        await fail_run(store, make_run(RunSpec(notification_rule_name="n")))
        await named.delete(OPERATOR, NamedKind.RULE, "n")
        await make_loop(store, clock).run_once()

    assert receiver.keys == []
    assert await store.count("phase_events") == 0
