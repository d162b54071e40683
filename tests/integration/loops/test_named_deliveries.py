"""The loop that delivers notifications: rules and delivery configurations that runs name."""

import base64
import hmac
import json
from dataclasses import replace
from datetime import timedelta

import asyncpg
import pytest
from flyteidl2.task.run_pb2 import InlineRule, RunSpec

from controlplane.api.convert.notifications import parse_notifications
from controlplane.core.actions import SpecKind
from controlplane.core.callers import EVERYTHING, Caller, Subject, org_wide
from controlplane.core.errors import NotReadyError, UnfitDatabaseError
from controlplane.core.named_notifications import DeliveryConfig, NamedKind, NamedRule
from controlplane.core.notifications import DeliveryState, Email, Webhook
from controlplane.core.runs import NewRun
from controlplane.usecases.named_notifications import NamedNotifications
from controlplane.usecases.sealed_configs import SealedConfigs
from controlplane.usecases.secret_keys import SecretKeys
from controlplane.usecases.senders import make_senders
from shared.kit.secrets import SecretBytes
from shared.model.phases import Phase
from shared.secrets.keyrings import AesKey
from tests.factories import NOW, ORG, make_new_run, make_spec
from tests.fakes.clock import FakeClock
from tests.integration.loops.receivers import (
    BODY,
    OPEN,
    fail_run,
    list_deliveries,
    make_loop,
)
from tests.integration.runs import SEALED_CONFIGS
from tests.integration.store.conftest import Store
from tests.servers.postgres import DatabaseForTest
from tests.servers.webhooks import Receiver, receiving

OPERATOR = Caller(subject=Subject("operator:test"), org=ORG, name="", grants=org_wide(EVERYTHING))
LATER = timedelta(hours=2)
FAILED = frozenset({Phase.FAILED})


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(NOW)


@pytest.fixture
def named(store: Store, clock: FakeClock) -> NamedNotifications:
    return NamedNotifications(store.database, clock, make_senders(OPEN), SEALED_CONFIGS)


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


async def test_webhook_of_a_configuration_is_signed_by_all_secrets_that_overlap(
    store: Store, clock: FakeClock, named: NamedNotifications
) -> None:
    """Receivers verify with either secret until the first one ends."""
    message = RunSpec()
    message.notification_rules.rules.append(
        InlineRule(on_phases=["ACTION_PHASE_FAILED"], delivery_config_name="chat")
    )
    async with receiving() as receiver:
        config = await named.create(OPERATOR, make_config("chat", receiver.url))
        assert isinstance(config, DeliveryConfig)
        await fail_run(store, make_run(message, "unsigned"))
        await make_loop(store, clock).run_once()
        _, first = await named.rotate_signing_secret(
            OPERATOR, replace(config, version=0), overlap=None
        )
        _, second = await named.rotate_signing_secret(
            OPERATOR, replace(config, version=0), overlap=timedelta(hours=1)
        )
        for name in ("both", "one"):
            await fail_run(store, make_run(message, name))
            await make_loop(store, clock).run_once()
            clock.advance(timedelta(hours=1))

    assert "webhook-signature" not in receiver.sent_headers[0]
    signed = [verify(receiver, n, key) for n in (1, 2) for key in (first.key, second.key)]
    assert signed == [True, True, False, True]


def verify(receiver: Receiver, number: int, key: bytes) -> bool:
    """Return whether a secret's key signed a request, as a receiver finds out."""
    headers, body = receiver.sent_headers[number], receiver.bodies[number]
    content = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.{body}".encode()
    mine = "v1," + base64.b64encode(hmac.digest(key, content, "sha256")).decode()
    return mine in headers["webhook-signature"].split()


async def test_nothing_of_a_configuration_that_may_be_secret_is_stored_in_the_clear(
    store: Store, clock: FakeClock, test_database: DatabaseForTest
) -> None:
    mailing = replace(OPEN, smtp_host="mail.example", mail_from="volary@mail.example")
    named = NamedNotifications(store.database, clock, make_senders(mailing), SEALED_CONFIGS)
    config = DeliveryConfig(
        name="chat",
        webhook=Webhook(
            url="https://hooks.example/canary-path?key=canary-query",
            headers={"Authorization": "canary-token"},
            body="canary-body",
        ),
        email=Email(to=["canary@mail.example"], subject="canary-subject"),
    )
    await named.create(OPERATOR, config)
    _, secret = await named.rotate_signing_secret(OPERATOR, config, overlap=None)

    stored = await dump(test_database)
    assert "https://hooks.example" in stored  # as deliveries show it
    assert "canary" not in stored
    assert secret.secret.reveal() not in stored


async def dump(test_database: DatabaseForTest) -> str:
    """Return all rows of all tables as text, with bytes as far as they are text."""
    owner = await asyncpg.connect(test_database.owner_url)
    tables = await owner.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    rows = [
        str(dict(row))
        for (name,) in tables
        for row in await owner.fetch(f'SELECT * FROM "{name}"')  # noqa: S608 - tables of the test
    ]
    await owner.close()
    return "\n".join(rows)


async def test_configurations_move_to_a_new_key_and_wait_while_it_is_missing(
    store: Store, clock: FakeClock, named: NamedNotifications
) -> None:
    old, new = (AesKey(SecretBytes(letter * 32)) for letter in (b"k", b"n"))
    only_new = SealedConfigs(lambda: SecretKeys([new]))
    async with receiving() as receiver:
        await named.create(OPERATOR, make_config("chat", receiver.url))
        await named.create(OPERATOR, NamedRule(name="n", phases=FAILED, configs=["chat"]))
        await fail_run(store, make_run(RunSpec(notification_rule_name="n")))
        lacking = make_loop(store, clock, sealed=only_new)
        await lacking.run_once()
        assert receiver.keys == []
        with pytest.raises(UnfitDatabaseError, match=r"1 delivery configurations .* aes:"):
            await only_new.require_keys(store.database)

        both = SealedConfigs(lambda: SecretKeys([new, old]))
        first, second = [await both.reseal(store.database) for _ in range(2)]
        await only_new.require_keys(store.database)
        clock.advance(LATER)
        await lacking.run_once()

    assert (first.resealed, second.resealed, second.current) == (1, 0, 1)
    assert len(receiver.keys) == 1


async def test_configuration_needs_a_key_of_the_installation(
    store: Store, clock: FakeClock
) -> None:
    keyless = SealedConfigs(lambda: SecretKeys(to_clusters=True))
    named = NamedNotifications(store.database, clock, make_senders(OPEN), keyless)

    with pytest.raises(NotReadyError, match=r"chat is sealed .* VOLARY_SECRETS_KEY_FILE"):
        await named.create(OPERATOR, make_config("chat", "https://hooks.example"))
