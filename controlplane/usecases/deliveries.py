"""
Reports phases of runs: makes deliveries of recorded phases, and sends them.

The rules of a run are in its RunSpec, which this package cannot read: ``SpecReader`` does.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum, auto
from typing import Protocol

from prometheus_client import Counter

from controlplane.core.errors import InvalidError, UnbuiltError
from controlplane.core.notifications import (
    MOST_TRIES,
    Channel,
    DeliveryState,
    Email,
    Notifications,
    Rule,
    Webhook,
    fields_of,
    is_reported,
    pause_values,
    render_email,
    render_url,
    render_webhook,
    run_values,
    target_of,
)
from controlplane.outbound.mail import Mail
from controlplane.outbound.results import Sent, refused
from controlplane.outbound.webhooks import Webhooks
from controlplane.store.database import Database, OrgTx
from controlplane.store.notify import deliveries as store
from controlplane.store.notify.deliveries import ClaimedDelivery, NewDelivery, PhaseEvent
from shared.kit.backoff import Backoff
from shared.kit.clock import Clock
from shared.kit.uuids import new_uuid
from shared.model.ids import OrgName
from shared.model.phases import Phase

log = logging.getLogger(__name__)

TRIES = Counter(
    "volary_notifications",
    "Tries to deliver notifications, by channel and result.",
    ["channel", "result"],
    registry=None,  # ``main`` registers it
)

EVENTS_AT_ONCE = 200
BACKOFF = Backoff(first=timedelta(seconds=5), at_most=timedelta(hours=1), jitter=0.3)
MAIL_TARGET = "mail"
_TRANSACTIONS_AT_ONCE = 2
"""Of all workers: they share the pool of the loops, whose other passes must not wait for them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """Question of a condition."""

    prompt: str
    description: str
    prompt_type: str


class Tried(Enum):
    """Result of trying the next delivery to a receiver."""

    NONE_DUE = auto()
    ENDED = auto()  # delivered, or refused for good
    FAILED = auto()  # to be tried again; the receiver's others would probably fail as well


class SpecReader(Protocol):
    """Reads flyteidl2's messages for notifications."""

    def notifications(self, run_spec: bytes) -> Notifications:
        """Return the rules of a RunSpec; InvalidError."""

    def prompt(self, condition: bytes) -> Prompt:
        """Return what a ConditionAction asks."""


class Deliveries:
    """Use cases of the loop that delivers notifications."""

    def __init__(
        self, database: Database, clock: Clock, reader: SpecReader, webhooks: Webhooks, mail: Mail
    ) -> None:
        self._database = database
        self._clock = clock
        self._reader = reader
        self._webhooks = webhooks
        self._mail = mail
        self._transactions = asyncio.Semaphore(_TRANSACTIONS_AT_ONCE)

    def require(self, notifications: Notifications) -> None:
        """Raise InvalidError or UnbuiltError for rules of a new run that could not be delivered."""
        if notifications.name:
            raise UnbuiltError(
                f"run_spec.notification_rule_name: named rules ({notifications.name!r}) are not"
                " supported by this release; give the rules of the run in notification_rules"
            )
        for number, rule in enumerate(notifications.rules):
            field = f"run_spec.notification_rules.rules[{number}]"
            if rule.config:
                raise UnbuiltError(
                    f"{field}.delivery_config_name: delivery configurations ({rule.config!r}) are"
                    " not supported by this release; give the webhook or e-mail in the rule"
                )
            if rule.webhook is not None:
                example = render_url(rule.webhook.url, dict.fromkeys(fields_of(rule.phases), "x"))
                self._webhooks.require_address(example, f"{field}.webhook.url")
            if rule.email is not None and not self._mail.is_configured:
                raise InvalidError(
                    f"{field}.email: this installation sends no mail; use a webhook, or ask its"
                    " operator to set VOLARY_SMTP_HOST"
                )

    async def expand(self, org: OrgName) -> int:
        """Make the deliveries of an org's recorded phases; return how many phases those were."""
        async with self._database.for_org(org) as tx:
            events = await store.lock_events(tx, most=EVENTS_AT_ONCE)
            if events:
                made = [each for event in events for each in self._make(event)]
                await store.replace_events(tx, events, made, self._clock.now())
        return len(events)

    def _make(self, event: PhaseEvent) -> Iterator[NewDelivery]:
        rules = () if event.run_spec is None else self._rules(event.run_spec)
        for number, rule in enumerate(rules):
            if is_reported(event.phase, rule):
                now = self._clock.now()
                if rule.webhook is not None:
                    yield NewDelivery(
                        id=new_uuid(now),
                        event=event,
                        rule=number,
                        channel=Channel.WEBHOOK,
                        target=target_of(rule.webhook.url),
                    )
                if rule.email is not None:
                    yield NewDelivery(
                        id=new_uuid(now),
                        event=event,
                        rule=number,
                        channel=Channel.EMAIL,
                        target=MAIL_TARGET,
                    )

    def _rules(self, run_spec: bytes) -> Sequence[Rule]:
        try:
            return self._reader.notifications(run_spec).rules
        except InvalidError as error:  # a release that accepted more made the run
            log.warning("notification rules unreadable", extra={"error": str(error)})
            return ()

    async def deliver_next(self, org: OrgName, target: str) -> Tried:
        """Send the next delivery to a receiver."""
        async with self._transaction(org) as tx:
            claimed = await store.claim_delivery(tx, target, self._clock.now())
        if claimed is None:
            return Tried.NONE_DUE
        if claimed.tries > MOST_TRIES:  # replicas stopped at each of them
            sent = refused("it was tried too often without a result")
        else:
            sent = await self._send(org, claimed)
        await self._record(org, claimed, sent)
        return Tried.ENDED if sent.is_delivered or sent.is_final else Tried.FAILED

    async def _send(self, org: OrgName, claimed: ClaimedDelivery) -> Sent:
        rules = self._rules(claimed.run_spec)
        if claimed.rule >= len(rules):
            return refused("the run has no such rule that this release can read")
        rule = rules[claimed.rule]
        try:
            values = self._values(org, claimed)
            match claimed.channel:
                case Channel.WEBHOOK if rule.webhook is not None:
                    return await self._send_webhook(claimed, rule.webhook, values)
                case Channel.EMAIL if rule.email is not None:
                    return await self._send_email(claimed, rule.email, values)
                case _:
                    return refused(f"the rule has no {claimed.channel.name.lower()}")
        except InvalidError as error:
            return refused(str(error))

    def _values(self, org: OrgName, claimed: ClaimedDelivery) -> Mapping[str, str]:
        if claimed.phase is not Phase.PAUSED:
            return run_values(org, claimed.action, claimed.phase, claimed.error)
        asked = self._reader.prompt(claimed.spec)
        return pause_values(
            org,
            claimed.action,
            prompt=asked.prompt,
            description=asked.description,
            prompt_type=asked.prompt_type,
        )

    async def _send_webhook(
        self, claimed: ClaimedDelivery, webhook: Webhook, values: Mapping[str, str]
    ) -> Sent:
        rendered = render_webhook(webhook, values)
        return await self._webhooks.send(rendered, {"Idempotency-Key": str(claimed.id)})

    async def _send_email(
        self, claimed: ClaimedDelivery, email: Email, values: Mapping[str, str]
    ) -> Sent:
        return await self._mail.send(render_email(email, values), str(claimed.id))

    async def _record(self, org: OrgName, claimed: ClaimedDelivery, sent: Sent) -> None:
        now = self._clock.now()
        state, due_at = DeliveryState.PENDING, now
        if sent.is_delivered:
            state = DeliveryState.DELIVERED
        elif sent.is_final or claimed.tries >= MOST_TRIES:
            state = DeliveryState.FAILED
        else:
            due_at = now + max(BACKOFF.delay(claimed.tries), sent.retry_after or timedelta())
        async with self._transaction(org) as tx:
            recorded = await store.record_delivery(
                tx,
                claimed,
                state,
                due_at=due_at,
                ended_at=None if state is DeliveryState.PENDING else now,
                status=sent.status,
                error=sent.error,
            )
        result = "retried" if state is DeliveryState.PENDING else state.name.lower()
        TRIES.labels(claimed.channel.name.lower(), result).inc()
        log.log(
            logging.INFO if sent.is_delivered else logging.WARNING,
            "notification delivered" if sent.is_delivered else "notification not delivered",
            extra={
                "org": org,
                "delivery": str(claimed.id),
                "run": str(claimed.action.run),
                "try": claimed.tries,
                "state": state.name,
                "error": sent.error,
                "recorded": recorded,
            },
        )

    @asynccontextmanager
    async def _transaction(self, org: OrgName) -> AsyncIterator[OrgTx]:
        async with self._transactions, self._database.for_org(org) as tx:
            yield tx
