"""CreateRun with notification rules."""

import pytest
from connectrpc.code import Code
from flyteidl2.common.phase_pb2 import ActionPhase
from flyteidl2.notification.definition_pb2 import HttpMethod

from controlplane.core.notifications import NO_HTML
from tests.integration.api.client import ApiUnderTest
from tests.integration.api.requests import create_run, refusal


@pytest.mark.parametrize(
    ("url", "body", "reason"),
    [
        ("http://example.com/x", "", "must begin with https://"),
        ("https://169.254.169.254/latest", "", "not a public address"),
        ("https://localhost/x", "", "not a public address"),
        ("https://me:pw@example.com/x", "", "must not hold a user"),
        ("https://example.com/x", "{{.Nope}}", "there is no field"),
        ("https://example.com/x", "{{if .Error}}", "is not a field"),
    ],
)
async def test_run_whose_webhook_cannot_be_sent_is_refused(
    api: ApiUnderTest, url: str, body: str, reason: str
) -> None:
    request = create_run()
    rule = request.run_spec.notification_rules.rules.add(
        on_phases=[ActionPhase.ACTION_PHASE_FAILED]
    )
    rule.delivery_template.webhook.url = url
    rule.delivery_template.webhook.method = HttpMethod.HTTP_METHOD_POST
    rule.delivery_template.webhook.body_template = body

    code, message = await refusal(api.runs.create_run(request))

    assert code is Code.INVALID_ARGUMENT
    assert "notification_rules.rules[0]" in message
    assert reason in message


async def test_run_that_sends_mail_is_refused_without_a_mail_server(api: ApiUnderTest) -> None:
    request = create_run()
    rule = request.run_spec.notification_rules.rules.add(
        on_phases=[ActionPhase.ACTION_PHASE_FAILED]
    )
    rule.delivery_template.email.to.add(address="ada@example.com")
    rule.delivery_template.email.inline.subject = "x"
    rule.delivery_template.email.inline.text_template = "x"
    rule.delivery_template.email.inline.html_template = NO_HTML

    code, message = await refusal(api.runs.create_run(request))

    assert code is Code.INVALID_ARGUMENT
    assert "VOLARY_SMTP_HOST" in message


async def test_run_that_names_an_unknown_rule_or_configuration_is_refused(
    api: ApiUnderTest,
) -> None:
    named, inline = create_run(), create_run()
    named.run_spec.notification_rule_name = "nightly"
    inline.run_spec.notification_rules.rules.add(
        on_phases=[ActionPhase.ACTION_PHASE_FAILED], delivery_config_name="oncall"
    )

    for request, reason in (
        (named, "notification rule nightly not found; there is none"),
        (inline, "delivery configuration oncall not found; there is none"),
    ):
        code, message = await refusal(api.runs.create_run(request))
        assert code is Code.INVALID_ARGUMENT
        assert reason in message


async def test_configuration_in_a_rule_on_pauses_is_refused(api: ApiUnderTest) -> None:
    request = create_run()
    request.run_spec.notification_rules.rules.add(
        on_phases=[ActionPhase.ACTION_PHASE_PAUSED], delivery_config_name="oncall"
    )

    code, message = await refusal(api.runs.create_run(request))

    assert code is Code.INVALID_ARGUMENT
    assert "give a rule on PAUSED its own webhook" in message
