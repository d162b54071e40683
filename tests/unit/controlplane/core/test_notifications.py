"""Rules of notifications, and the requests and mails that they make."""

import json
from dataclasses import replace

import pytest

from controlplane.core.errors import InvalidError
from controlplane.core.notifications import (
    ENDS,
    MAX_ERROR,
    MAX_TEMPLATE,
    MAX_URL,
    MOST_HEADERS,
    MOST_RECIPIENTS,
    NO_HTML,
    NO_NOTIFICATIONS,
    NOTIFIED,
    PAUSE_FIELDS,
    RUN_FIELDS,
    Email,
    Notifications,
    Rule,
    Webhook,
    fields_of,
    is_reported,
    mask_of,
    pause_values,
    render_email,
    render_webhook,
    require_email,
    require_phases,
    require_webhook,
    run_values,
    target_of,
)
from shared.model.phases import Phase
from tests.factories import ORG, make_action_key

WEBHOOK = Webhook(
    url="https://example.com/hook", headers={"X-Team": "{{.Phase}}"}, body="{{.Error}}"
)
EMAIL = Email(to=["a@example.com"], subject="{{.Phase}}", text="{{.Error}}", html="<p>{{.Error}}")
VALUES = run_values(ORG, make_action_key("a0"), Phase.FAILED, 'said "no"\r\n<b>')


def test_mask_has_a_bit_for_each_phase_and_none_without_rules() -> None:
    assert mask_of(NO_NOTIFICATIONS.phases) == 0
    assert mask_of(frozenset({Phase.FAILED, Phase.PAUSED})) == 2**6 + 2**9
    assert mask_of(frozenset({Phase.SUCCEEDED})) == 2**5 + 2**10  # a recovered run succeeded
    assert mask_of(NOTIFIED) < 2**15  # it is stored as a smallint


def test_notifications_record_the_phases_of_all_rules_and_a_named_rule_all_ends() -> None:
    rules = [Rule(phases=frozenset({each})) for each in (Phase.FAILED, Phase.ABORTED)]

    assert Notifications(rules=rules).phases == {Phase.FAILED, Phase.ABORTED}
    assert Notifications(name="nightly").phases == ENDS


def test_recovered_run_is_reported_as_one_that_succeeded() -> None:
    rule = Rule(phases=frozenset({Phase.SUCCEEDED}))

    assert is_reported(Phase.RECOVERED, rule)
    assert is_reported(Phase.SUCCEEDED, rule)
    assert not is_reported(Phase.FAILED, rule)
    assert run_values(ORG, make_action_key("a0"), Phase.RECOVERED, "")["Phase"] == "SUCCEEDED"


@pytest.mark.parametrize(
    ("phases", "reason"),
    [
        (set(), "names no phase"),
        ({Phase.RUNNING, Phase.FAILED}, "RUNNING cannot be reported; name phases of ABORTED"),
        ({Phase.PAUSED, Phase.FAILED}, "a rule of its own"),
    ],
)
def test_phases_that_cannot_be_reported_are_refused(phases: set[Phase], reason: str) -> None:
    with pytest.raises(InvalidError, match=f"rules: .*{reason}"):
        require_phases(frozenset(phases), "rules")


def test_phases_decide_the_fields() -> None:
    for phases in (frozenset({Phase.PAUSED}), frozenset({Phase.FAILED, Phase.ABORTED})):
        require_phases(phases, "rules")
    assert fields_of(frozenset({Phase.PAUSED})) == PAUSE_FIELDS
    assert fields_of(frozenset({Phase.FAILED})) == RUN_FIELDS


@pytest.mark.parametrize(
    ("webhook", "reason"),
    [
        (replace(WEBHOOK, url="https://" + "a" * MAX_URL), "url: must be at most"),
        (replace(WEBHOOK, method="CONNECT"), "method: must be one of DELETE, GET"),
        (replace(WEBHOOK, headers={f"x-{n}": "" for n in range(MOST_HEADERS + 1)}), "not 21"),
        (replace(WEBHOOK, headers={"": ""}), "is not the name of a header"),
        (replace(WEBHOOK, headers={"x" * 21: ""}), "is not the name of a header"),
        (replace(WEBHOOK, headers={"a b": ""}), "is not the name of a header"),
        (replace(WEBHOOK, headers={"Host": ""}), "headers.Host: is set by the sender"),
        (replace(WEBHOOK, headers={"Idempotency-Key": "x"}), "is set by the sender"),
        (replace(WEBHOOK, headers={"x": "y" * 51}), "at most 50 characters"),
        (replace(WEBHOOK, headers={"x": "\0"}), "without NUL"),
        (replace(WEBHOOK, headers={"x": "{{.Nope}}"}), r"headers\.x: there is no field"),
        (replace(WEBHOOK, body="{{if .Error}}"), "body_template: .* is not a field"),
        (replace(WEBHOOK, body="x" * (MAX_TEMPLATE + 1)), "body_template: must be at most"),
        (replace(WEBHOOK, body="\0"), "without NUL"),
    ],
)
def test_webhook_that_cannot_be_sent_is_refused(webhook: Webhook, reason: str) -> None:
    require_webhook(WEBHOOK, "webhook", RUN_FIELDS)
    with pytest.raises(InvalidError, match=reason):
        require_webhook(webhook, "webhook", RUN_FIELDS)


@pytest.mark.parametrize(
    "address",
    [
        "", "a", "@b", "a@", "a@b@c", "a b@c", "a@b\r\nBcc: x@y", "<a@b>", "a,b@c",
        "ä@b", "a@" + "b" * 254,
    ],
)  # fmt: skip
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(InvalidError, match="is not an e-mail address"):
        require_email(replace(EMAIL, cc=[address]), "email", RUN_FIELDS)


@pytest.mark.parametrize(
    ("email", "reason"),
    [
        (replace(EMAIL, to=[]), "to: is empty"),
        (replace(EMAIL, bcc=["a@b"] * MOST_RECIPIENTS), "at most 50 recipients, not 51"),
        (replace(EMAIL, subject="{{.Nope}}"), "subject: there is no field"),
        (replace(EMAIL, text="{{.Nope}}"), "text_template: there is no field"),
        (replace(EMAIL, html="{{.Nope}}"), "html_template: there is no field"),
    ],
)
def test_mail_that_cannot_be_sent_is_refused(email: Email, reason: str) -> None:
    require_email(EMAIL, "email", RUN_FIELDS)
    with pytest.raises(InvalidError, match=reason):
        require_email(email, "email", RUN_FIELDS)


def test_values_have_exactly_the_fields_and_a_bounded_error() -> None:
    assert VALUES.keys() == RUN_FIELDS
    assert len(run_values(ORG, make_action_key("a0"), Phase.FAILED, "x" * 10**6)["Error"]) == (
        MAX_ERROR + 1
    )
    asked = pause_values(
        ORG, make_action_key("c1"), prompt="Go on?", description="", prompt_type="text"
    )
    assert asked.keys() == PAUSE_FIELDS
    assert asked["Action.Name"] == "c1"


@pytest.mark.parametrize(
    ("headers", "content_type"),
    [({}, "application/json"), ({"content-type": "application/json; v=1"}, None)],
)
def test_json_of_a_webhook_stays_json_whatever_the_error_is(
    headers: dict[str, str], content_type: str | None
) -> None:
    webhook = replace(WEBHOOK, headers=headers, body='{"text": "{{.Error}}"}')

    made = render_webhook(webhook, VALUES)

    assert json.loads(made.body) == {"text": 'said "no"\r\n<b>'}
    assert made.headers.get("Content-Type") == content_type


def test_text_of_a_webhook_is_not_escaped() -> None:
    made = render_webhook(WEBHOOK, VALUES)

    assert made.body == 'said "no"\r\n<b>'
    assert made.headers == {"X-Team": "FAILED", "Content-Type": "text/plain; charset=utf-8"}


def test_webhook_without_a_body_has_no_content_type() -> None:
    assert render_webhook(replace(WEBHOOK, headers={}, body=""), VALUES).headers == {}


def test_body_that_is_too_deep_for_json_is_text() -> None:
    made = render_webhook(replace(WEBHOOK, headers={}, body="[" * 60_000), VALUES)

    assert made.headers["Content-Type"].startswith("text/plain")


def test_value_in_a_header_stays_on_its_line() -> None:
    webhook = replace(WEBHOOK, headers={"X-Error": "{{.Error}}\x7f"})

    assert render_webhook(webhook, VALUES).headers["X-Error"] == 'said "no" <b>'


def test_mail_has_one_line_of_subject_and_escaped_html() -> None:
    made = render_email(replace(EMAIL, subject="{{.Error}}"), VALUES)

    assert made.subject == 'said "no" <b>'
    assert made.text == 'said "no"\r\n<b>'
    assert made.html == "<p>said &quot;no&quot;\r\n&lt;b&gt;"


def test_mail_that_the_sdk_sends_without_html_is_text_only() -> None:
    assert render_email(replace(EMAIL, html=NO_HTML), VALUES).html == ""
    assert render_email(replace(EMAIL, html=""), VALUES).html == ""


def test_receiver_shows_no_secret_of_its_address() -> None:
    assert target_of("https://me:pw@Example.com:8443/T0/secret?k=v") == "https://example.com:8443"


def test_fields_in_the_path_of_an_address_are_percent_encoded() -> None:
    webhook = replace(WEBHOOK, url="https://example.com/{{.Run.Name}}?error={{ .Error }}")
    require_webhook(webhook, "w", RUN_FIELDS)

    made = render_webhook(webhook, VALUES)

    name = VALUES["Run.Name"]
    assert made.url == f"https://example.com/{name}?error=said%20%22no%22%0D%0A%3Cb%3E"


@pytest.mark.parametrize("url", ["https://{{.Run.Name}}/x", "https://a.b{{.Error}}", "{{.Error}}"])
def test_field_in_the_host_of_an_address_is_refused(url: str) -> None:
    with pytest.raises(InvalidError, match=r"w\.url: fields may stand in the path"):
        require_webhook(replace(WEBHOOK, url=url), "w", RUN_FIELDS)
