"""
Reports phases of runs: makes deliveries of recorded phases, and sends them.

The rules of a run are in its RunSpec, which this package cannot read: ``SpecReader`` does.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum, auto
from typing import Protocol

from prometheus_client import Counter

from controlplane.core.errors import InvalidError, NotReadyError, UnavailableError
from controlplane.core.named_notifications import DeliveryConfig, NamedKind, NamedRow, NamedRule
from controlplane.core.notifications import (
    ENDS,
    MOST_TRIES,
    NO_NOTIFICATIONS,
    Channel,
    DeliveryState,
    Email,
    Notifications,
    Rule,
    Webhook,
    is_reported,
    pause_values,
    render_email,
    render_webhook,
    run_values,
    target_of,
)
from controlplane.core.webhook_signatures import sign
from controlplane.outbound.results import Sent, failed, refused
from controlplane.store.database import Database, OrgTx
from controlplane.store.notify import deliveries as store, named as named_store
from controlplane.store.notify.deliveries import ClaimedDelivery, NewDelivery, PhaseEvent
from controlplane.usecases.callbacks import CallbackAddresses
from controlplane.usecases.sealed_configs import SealedConfigs
from controlplane.usecases.senders import Senders
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
_MOST_SHOWN = 20  # names in an error
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

    def webhook(self, condition: bytes, callback_url: str) -> Webhook | None:
        """Return the request that tells of a ConditionAction; None if it has no webhook."""

    def timeout(self, condition: bytes) -> timedelta | None:
        """Return how long a ConditionAction waits; None: for as long as its run."""


class Deliveries:
    """Use cases of the loop that delivers notifications."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        reader: SpecReader,
        *,
        senders: Senders,
        sealed: SealedConfigs,
        callbacks: CallbackAddresses,
    ) -> None:
        self._callbacks = callbacks
        self._sealed = sealed
        self._database = database
        self._clock = clock
        self._reader = reader
        self._senders = senders
        self._transactions = asyncio.Semaphore(_TRANSACTIONS_AT_ONCE)

    async def require(self, database: Database, org: OrgName, notifications: Notifications) -> None:
        """
        Raise InvalidError for rules of a new run that could not be delivered.

        ``database``: the pool of the call, which is not the loops'.
        """
        for number, rule in enumerate(notifications.rules):
            field = f"run_spec.notification_rules.rules[{number}]"
            self._senders.require(rule, field, rule.phases)
            if rule.config and not rule.phases <= ENDS:
                raise InvalidError(
                    f"{field}.delivery_config_name: delivery configurations report the end of a"
                    " run; give a rule on PAUSED its own webhook or e-mail"
                )
        configs = {rule.config for rule in notifications.rules if rule.config}
        if notifications.name or configs:
            async with database.for_org(org) as tx:
                if notifications.name:
                    await _require_named(
                        tx,
                        NamedKind.RULE,
                        {notifications.name},
                        "run_spec.notification_rule_name",
                    )
                await _require_named(
                    tx, NamedKind.CONFIG, configs, "run_spec.notification_rules.rules"
                )

    async def expand(self, org: OrgName) -> int:
        """Make the deliveries of an org's recorded phases; return how many phases those were."""
        async with self._database.for_org(org) as tx:
            events = await store.lock_events(tx, most=EVENTS_AT_ONCE)
            if events:
                named = await self._find_named(tx, events)
                made = [each for event in events for each in self._make(event, named)]
                await store.replace_events(tx, events, made, self._clock.now())
        return len(events)

    async def _find_named(self, tx: OrgTx, events: Sequence[PhaseEvent]) -> "_Found":
        """Return the named rules and delivery configurations of the events' runs."""
        wanted = [self._notifications(event.run_spec) for event in events if event.run_spec]
        names = {each.name for each in wanted if each.name}
        found = await named_store.find_named(tx, NamedKind.RULE, names) if names else ()
        rules = {each.name: each.rule for each in found}
        configs = {rule.config for each in wanted for rule in each.rules if rule.config}
        configs.update(config for each in rules.values() for config in each.configs)
        listed = await named_store.find_named(tx, NamedKind.CONFIG, configs) if configs else ()
        return _Found(rules, {each.name: each for each in listed})

    def _make(self, event: PhaseEvent, named: "_Found") -> Iterator[NewDelivery]:
        if event.run_spec is None:
            return
        if event.condition is not None:
            yield from self._make_of_condition(event, event.condition)
        notifications = self._notifications(event.run_spec)
        rules: Sequence[Rule] = notifications.rules
        if notifications.name:
            rule = named.rules.get(notifications.name)
            if rule is None:
                log.warning("notification rule was deleted", extra={"rule": notifications.name})
                return
            rules = rule.rules
        for number, each in enumerate(rules):
            if is_reported(event.phase, each):
                yield from self._make_of_rule(event, number, each, named)

    def _make_of_condition(self, event: PhaseEvent, condition: bytes) -> Iterator[NewDelivery]:
        webhook = self._reader.webhook(condition, "")
        if webhook is not None:
            yield NewDelivery(
                id=new_uuid(self._clock.now()),
                event=event,
                rule=store.CONDITION_RULE,
                channel=Channel.WEBHOOK,
                target=target_of(webhook.url),
            )

    def _make_of_rule(
        self, event: PhaseEvent, number: int, rule: Rule, named: "_Found"
    ) -> Iterator[NewDelivery]:
        if rule.config:
            found = named.configs.get(rule.config)
            if found is None:
                log.warning("delivery configuration was deleted", extra={"config": rule.config})
                return
            target, sends_mail = found.target, found.sends_mail
        else:
            target = "" if rule.webhook is None else target_of(rule.webhook.url)
            sends_mail = rule.email is not None
        now = self._clock.now()
        if target:
            yield NewDelivery(
                id=new_uuid(now),
                event=event,
                rule=number,
                channel=Channel.WEBHOOK,
                config=rule.config,
                target=target,
            )
        if sends_mail:
            yield NewDelivery(
                id=new_uuid(now),
                event=event,
                rule=number,
                channel=Channel.EMAIL,
                config=rule.config,
                target=MAIL_TARGET,
            )

    def _notifications(self, run_spec: bytes) -> Notifications:
        try:
            return self._reader.notifications(run_spec)
        except InvalidError as error:  # a release that accepted more made the run
            log.warning("notification rules unreadable", extra={"error": str(error)})
            return NO_NOTIFICATIONS

    async def deliver_next(self, org: OrgName, target: str) -> Tried:
        """Send the next delivery to a receiver."""
        async with self._transaction(org) as tx:
            claimed = await store.claim_delivery(tx, target, self._clock.now())
            config = None if claimed is None else await _find_config(tx, claimed.config)
        if claimed is None:
            return Tried.NONE_DUE
        if claimed.tries > MOST_TRIES:  # replicas stopped at each of them
            sent = refused("it was tried too often without a result")
        else:
            sent = await self._send(org, claimed, config)
        await self._record(org, claimed, sent)
        return Tried.ENDED if sent.is_delivered or sent.is_final else Tried.FAILED

    async def _send(self, org: OrgName, claimed: ClaimedDelivery, config: NamedRow | None) -> Sent:
        if claimed.rule == store.CONDITION_RULE:
            return await self._send_of_condition(org, claimed)
        content: Rule | DeliveryConfig | None = None
        if config is not None:
            try:
                content = await self._sealed.open_config(org, config)
            except (NotReadyError, UnavailableError) as error:  # keys that may come back
                return failed(str(error))
        elif not claimed.config:
            rules = self._notifications(claimed.run_spec).rules
            content = rules[claimed.rule] if claimed.rule < len(rules) else None
        if content is None:
            return refused(
                f"delivery configuration {claimed.config} was deleted"
                if claimed.config
                else "the run has no such rule that this release can read"
            )
        try:
            values = self._values(org, claimed)
            match claimed.channel:
                case Channel.WEBHOOK if content.webhook is not None:
                    return await self._send_webhook(claimed, content, content.webhook, values)
                case Channel.EMAIL if content.email is not None:
                    return await self._send_email(claimed, content.email, values)
                case _:
                    return refused(f"the rule has no {claimed.channel.name.lower()}")
        except InvalidError as error:
            return refused(str(error))

    async def _send_of_condition(self, org: OrgName, claimed: ClaimedDelivery) -> Sent:
        """Tell a condition's webhook of it, with an address that answers it."""
        timeout = self._reader.timeout(claimed.spec)
        url = self._callbacks.make(
            org, claimed.action, claimed.action_id, now=self._clock.now(), timeout=timeout
        )
        webhook = self._reader.webhook(claimed.spec, url)
        if webhook is None:
            return refused("the condition has no webhook that this release can read")
        key = str(claimed.id)
        signed = sign((), key, webhook.body.encode(), self._clock.now())
        return await self._senders.webhooks.send(webhook, {"Idempotency-Key": key, **signed})

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
        self,
        claimed: ClaimedDelivery,
        content: Rule | DeliveryConfig,
        webhook: Webhook,
        values: Mapping[str, str],
    ) -> Sent:
        rendered, key = render_webhook(webhook, values), str(claimed.id)
        secrets = content.signing if isinstance(content, DeliveryConfig) else ()
        signed = sign(secrets, key, rendered.body.encode(), self._clock.now())
        return await self._senders.webhooks.send(rendered, {"Idempotency-Key": key, **signed})

    async def _send_email(
        self, claimed: ClaimedDelivery, email: Email, values: Mapping[str, str]
    ) -> Sent:
        return await self._senders.mail.send(render_email(email, values), str(claimed.id))

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


@dataclass(frozen=True, slots=True)
class _Found:
    """Named rules and delivery configurations by name."""

    rules: Mapping[str, NamedRule]
    configs: Mapping[str, NamedRow]


async def _require_named(tx: OrgTx, kind: NamedKind, names: Collection[str], field: str) -> None:
    """Raise InvalidError if the org has no rule or delivery configuration of one of the names."""
    if not names:
        return
    found = await named_store.find_named(tx, kind, names)
    missing = sorted({*names} - {each.name for each in found})
    if missing:
        there_are = await named_store.list_named(tx, kind, after="", most=_MOST_SHOWN)
        listed = ", ".join(each.name for each in there_are) or "none"
        raise InvalidError(
            f"{field}: {kind.noun} {missing[0]} not found; there is {listed}; create it with"
            " volary notification"
        )


async def _find_config(tx: OrgTx, name: str) -> NamedRow | None:
    found = await named_store.find_named(tx, NamedKind.CONFIG, [name]) if name else ()
    return next(iter(found), None)
