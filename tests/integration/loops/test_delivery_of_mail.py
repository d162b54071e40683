"""The loop that delivers notifications: mail, with a real SMTP server, and pauses."""

from dataclasses import replace
from datetime import timedelta

import pytest
from flyteidl2.common.phase_pb2 import ActionPhase
from flyteidl2.task.run_pb2 import InlineRule
from flyteidl2.workflow.run_definition_pb2 import ConditionAction, ConditionPromptType

from controlplane.core.actions import ActionType, SpecKind
from controlplane.core.notifications import NO_HTML, DeliveryState
from shared.model.phases import Phase
from tests.factories import NOW, make_new_action, make_spec
from tests.fakes.clock import FakeClock
from tests.integration.loops.receivers import (
    fail_run,
    list_deliveries,
    make_loop,
    make_notifying_run,
    make_rule,
)
from tests.integration.store.conftest import Store
from tests.servers.mail import receiving_mail
from tests.servers.webhooks import receiving


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(NOW)


def make_mail_rule(html: str = "<b>{{.Error}}</b>") -> InlineRule:
    rule = InlineRule(on_phases=[ActionPhase.ACTION_PHASE_FAILED])
    mail = rule.delivery_template.email
    mail.to.add(address="ada@example.com")
    mail.cc.add(address="bob@example.com")
    mail.bcc.add(address="eve@example.com")
    mail.inline.subject = "{{.Run.Name}}: {{.Error}}"
    mail.inline.text_template = "It {{.Phase}}: {{.Error}}"
    mail.inline.html_template = html
    return rule


async def test_mail_reaches_all_recipients_and_shows_no_hidden_one(
    store: Store, clock: FakeClock
) -> None:
    async with receiving_mail() as mailbox:
        await fail_run(store, make_notifying_run(make_mail_rule()), "a < b\r\nBcc: x@example.com")
        await make_loop(store, clock, mailbox.settings).run_once()

    ((recipients, message),) = mailbox.received
    assert recipients == ["ada@example.com", "bob@example.com", "eve@example.com"]
    assert (message["To"], message["Cc"], message["Bcc"]) == (
        "ada@example.com",
        "bob@example.com",
        None,
    )
    assert message["Subject"] == "r1: a < b Bcc: x@example.com"
    assert message["Message-ID"].endswith("@example.com>")
    html = message.get_body(["html"])
    assert html is not None
    assert "<b>a &lt; b" in html.get_content()
    assert await list_deliveries(store) == [(DeliveryState.DELIVERED, 250, "")]


async def test_mail_without_html_has_one_part(store: Store, clock: FakeClock) -> None:
    async with receiving_mail() as mailbox:
        await fail_run(store, make_notifying_run(make_mail_rule(html=NO_HTML)))
        await make_loop(store, clock, mailbox.settings).run_once()

    ((_, message),) = mailbox.received
    assert message.get_content().strip() == "It FAILED: it broke"


async def test_mail_that_one_recipient_refuses_is_not_sent_again(
    store: Store, clock: FakeClock
) -> None:
    async with receiving_mail(bob="550 unknown") as mailbox:
        await fail_run(store, make_notifying_run(make_mail_rule()))
        await make_loop(store, clock, mailbox.settings).run_once()

    assert len(mailbox.received) == 1
    assert await list_deliveries(store) == [
        (DeliveryState.DELIVERED, 250, "refused for bob@example.com")
    ]


@pytest.mark.parametrize(
    ("answer", "state"),
    [("550 unknown", DeliveryState.FAILED), ("451 later", DeliveryState.PENDING)],
)
async def test_mail_that_all_recipients_refuse_is_tried_again_if_that_may_help(
    store: Store, clock: FakeClock, answer: str, state: DeliveryState
) -> None:
    async with receiving_mail(ada=answer, bob=answer, eve=answer) as mailbox:
        await fail_run(store, make_notifying_run(make_mail_rule()))
        await make_loop(store, clock, mailbox.settings).run_once()

    assert await list_deliveries(store) == [
        (state, int(answer[:3]), "the mail server refuses all recipients")
    ]


async def test_mail_waits_for_a_server_that_is_down(store: Store, clock: FakeClock) -> None:
    async with receiving_mail() as mailbox:
        pass
    await fail_run(store, make_notifying_run(make_mail_rule()))
    await make_loop(store, clock, mailbox.settings).run_once()
    ((state, _, error),) = await list_deliveries(store)
    assert state == DeliveryState.PENDING
    assert "unreachable" in error

    async with receiving_mail() as mailbox:
        clock.advance(timedelta(hours=2))
        await make_loop(store, clock, mailbox.settings).run_once()
    assert len(mailbox.received) == 1


async def test_pause_of_a_condition_is_reported_by_the_rule_of_its_run(
    store: Store, clock: FakeClock
) -> None:
    body = "{{.Action.Run.Name}} {{.Action.Name}} asks {{.Prompt}} ({{.PromptType}})"
    asked = ConditionAction(
        name="go", prompt="Go on?", prompt_type=ConditionPromptType.CONDITION_PROMPT_TYPE_TEXT
    )
    async with receiving() as receiver:
        await store.create(make_notifying_run(make_rule(receiver.url, Phase.PAUSED, body=body)))
        await store.enqueue(
            replace(
                make_new_action("c1", kind=ActionType.CONDITION),
                spec=make_spec(asked.SerializeToString(), kind=SpecKind.CONDITION),
            )
        )
        await make_loop(store, clock).run_once()

    assert receiver.bodies == ["r1 c1 asks Go on? (TEXT)"]
