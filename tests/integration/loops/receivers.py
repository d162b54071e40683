"""Runs that report to a receiver, and the loop that does so."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from ipaddress import ip_network

from flyteidl2.common.phase_pb2 import ActionPhase
from flyteidl2.notification.definition_pb2 import HttpMethod
from flyteidl2.task.run_pb2 import InlineRule, RunSpec
from sqlalchemy import text

from controlplane.api.convert.notifications import parse_notifications
from controlplane.core.actions import SpecKind
from controlplane.core.runs import NewRun
from controlplane.loops.deliveries import DeliveryLoop
from controlplane.outbound.settings import NotificationSettings
from controlplane.usecases.sealed_configs import SealedConfigs
from shared.kit.clock import Clock
from shared.model.ids import RunId
from shared.model.phases import Phase
from tests.factories import ORG, make_failure, make_new_run, make_report, make_spec
from tests.integration.runs import SEALED_CONFIGS, make_deliveries
from tests.integration.store.conftest import Store

OPEN = NotificationSettings(allow_http=True, allowed_networks=[ip_network("127.0.0.1/32")])
"""Settings with which webhooks reach the receivers of the tests."""
BODY = '{"phase": "{{.Phase}}", "error": "{{ .Error }}"}'


def make_rule(url: str, *phases: Phase, body: str = BODY) -> InlineRule:
    rule = InlineRule(on_phases=[ActionPhase.Name(each.value) for each in phases or [Phase.FAILED]])
    rule.delivery_template.webhook.url = url
    rule.delivery_template.webhook.method = HttpMethod.HTTP_METHOD_POST
    rule.delivery_template.webhook.body_template = body
    return rule


def make_notifying_run(*rules: InlineRule, name: str = "r1") -> NewRun:
    message = RunSpec()
    message.notification_rules.rules.extend(rules)
    return replace(
        make_new_run(name),
        run_spec=make_spec(message.SerializeToString(deterministic=True), kind=SpecKind.RUN),
        notifications=parse_notifications(message),
    )


async def fail_run(store: Store, new: NewRun, message: str = "it broke") -> RunId:
    """Create a run, and report that it failed."""
    run = await store.create(new)
    failure = replace(make_failure(recoverable=False), message=message)
    (assignment,) = await store.claim()
    await store.report(make_report(assignment, 1, Phase.FAILED, failure=failure))
    return run


def make_loop(
    store: Store,
    clock: Clock,
    settings: NotificationSettings = OPEN,
    *,
    every: timedelta = timedelta(hours=1),
    sealed: SealedConfigs = SEALED_CONFIGS,
) -> DeliveryLoop:
    deliveries = make_deliveries(
        store.database, clock, settings, webhook_timeout=timedelta(minutes=1), sealed=sealed
    )
    return DeliveryLoop(store.database, clock, deliveries, every=every)


async def list_deliveries(store: Store) -> Sequence[tuple[int, int, str]]:
    """List state, status and error of each delivery, the oldest first."""
    async with store.database.for_org(ORG) as tx:
        rows = await tx.connection.execute(
            text("SELECT state, status, error FROM deliveries ORDER BY created_at, delivery_id")
        )
        return [(row.state, row.status, row.error) for row in rows]
