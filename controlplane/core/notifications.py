"""
Notifications: which phases of a run are reported where, and with what content. PURE.

A rule names phases and a delivery: a webhook, an e-mail, or both. A delivery is tried until it
is accepted, refused for good, or was tried ``MOST_TRIES`` times.
"""

import html
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum
from urllib.parse import quote, urlsplit
from uuid import UUID

from controlplane.core.errors import InvalidError
from controlplane.core.templates import Template, parse_template
from shared.model.ids import ActionKey, OrgName
from shared.model.phases import Phase

MOST_TRIES = 20
"""Tries of a delivery, over about half a day with growing delays."""
MOST_RULES = 20
MOST_RECIPIENTS = 50
MOST_HEADERS = 20
MAX_HEADER_NAME = 20
MAX_HEADER_VALUE = 50
MAX_URL = 2_000
MAX_TEMPLATE = 64 * 1024
MAX_ADDRESS = 254
MAX_ERROR = 8 * 1024
"""Characters of a run's error that a notification shows."""

ENDS = frozenset({Phase.SUCCEEDED, Phase.FAILED, Phase.ABORTED, Phase.TIMED_OUT})
NOTIFIED = ENDS | {Phase.PAUSED}

RUN_FIELDS = frozenset({"Run.Org", "Run.Project", "Run.Domain", "Run.Name", "Phase", "Error"})
PAUSE_FIELDS = frozenset({
    "Action.Run.Org", "Action.Run.Project", "Action.Run.Domain", "Action.Run.Name", "Action.Name",
    "Prompt", "Description", "PromptType",
})  # fmt: skip

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"})
_OWN_HEADERS = frozenset({
    "connection", "content-length", "host", "idempotency-key", "transfer-encoding", "upgrade",
    "webhook-id", "webhook-signature", "webhook-timestamp",
})  # fmt: skip
_TOKEN = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
NO_HTML = "No HTML body"
"""What the SDK sends as the HTML of a mail that has only text."""


class Channel(IntEnum):
    """How a delivery reaches its receiver; stored."""

    WEBHOOK = 1
    EMAIL = 2


class DeliveryState(IntEnum):
    """States of a delivery; stored."""

    PENDING = 0  # to be tried, now or later
    DELIVERED = 1
    FAILED = 2  # given up; may be sent again


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """An HTTP request to send."""

    url: str
    method: str = "POST"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Email:
    """A mail to send; the texts are templates."""

    to: Sequence[str]
    cc: Sequence[str] = ()
    bcc: Sequence[str] = ()
    subject: str = ""
    text: str = ""
    html: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Reports these phases by its webhook, its e-mail, or the delivery configuration ``config``."""

    phases: frozenset[Phase]
    webhook: Webhook | None = None
    email: Email | None = None
    config: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notifications:
    """The rules of a run: its own, or those of the org's rule ``name``."""

    name: str = ""
    rules: Sequence[Rule] = ()

    @property
    def phases(self) -> frozenset[Phase]:
        """The phases of the root to record; all ends for a named rule, which may change."""
        return ENDS if self.name else frozenset().union(*(each.phases for each in self.rules))


NO_NOTIFICATIONS = Notifications()


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One webhook call or mail, about one phase of one action."""

    id: UUID
    action: ActionKey | None  # None: the run was deleted
    project: str = ""  # of the run, also after it was deleted
    domain: str = ""
    phase: Phase
    channel: Channel
    config: str = ""  # the delivery configuration; "": the content is in the run
    target: str = ""  # the receiver, without what may be secret
    state: DeliveryState = DeliveryState.PENDING
    tries: int = 0
    status: int = 0  # of the last HTTP answer
    error: str = ""  # of the last try
    created_at: datetime
    due_at: datetime | None = None
    ended_at: datetime | None = None


def mask_of(phases: frozenset[Phase]) -> int:
    """Return a number with a bit for each phase; a recovered run counts as one that succeeded."""
    if Phase.SUCCEEDED in phases:
        phases = phases | {Phase.RECOVERED}
    return sum(1 << phase.value for phase in phases)


def is_reported(phase: Phase, rule: Rule) -> bool:
    return (Phase.SUCCEEDED if phase is Phase.RECOVERED else phase) in rule.phases


def require_phases(phases: frozenset[Phase], field: str) -> None:
    """Raise InvalidError unless all of these phases can be reported, together."""
    if not phases:
        raise InvalidError(f"{field}: names no phase; name one that is to be reported")
    unfit = sorted(phase.name for phase in phases - NOTIFIED)
    if unfit:
        raise InvalidError(
            f"{field}: {', '.join(unfit)} cannot be reported; name phases of"
            f" {', '.join(sorted(phase.name for phase in NOTIFIED))}"
        )
    if Phase.PAUSED in phases and len(phases) > 1:
        raise InvalidError(f"{field}: PAUSED has fields of its own; give it a rule of its own")


def fields_of(phases: frozenset[Phase]) -> frozenset[str]:
    """Return the fields that templates for these phases may name."""
    return PAUSE_FIELDS if Phase.PAUSED in phases else RUN_FIELDS


def require_webhook(webhook: Webhook, field: str, known: frozenset[str]) -> None:
    """Raise InvalidError unless the request can be sent; the address is checked elsewhere."""
    if len(webhook.url) > MAX_URL:
        raise InvalidError(f"{field}.url: must be at most {MAX_URL} characters")
    if parse_template(webhook.url, f"{field}.url", known).fields and "{{" in _origin(webhook.url):
        raise InvalidError(
            f"{field}.url: fields may stand in the path and query only; write the host out"
        )
    if webhook.method not in _METHODS:
        raise InvalidError(f"{field}.method: must be one of {', '.join(sorted(_METHODS))}")
    if len(webhook.headers) > MOST_HEADERS:
        raise InvalidError(f"{field}.headers: at most {MOST_HEADERS}, not {len(webhook.headers)}")
    for name, value in webhook.headers.items():
        where = f"{field}.headers.{name[:MAX_HEADER_NAME]}"
        if not name or len(name) > MAX_HEADER_NAME or not _TOKEN.issuperset(name):
            raise InvalidError(f"{where}: is not the name of a header of at most 20 characters")
        if name.lower() in _OWN_HEADERS:
            raise InvalidError(f"{where}: is set by the sender; leave it out")
        if len(value) > MAX_HEADER_VALUE or "\0" in value:
            raise InvalidError(
                f"{where}: must be at most {MAX_HEADER_VALUE} characters, without NUL"
            )
        parse_template(value, where, known)
    _require_template(webhook.body, f"{field}.body_template", known)


def require_email(email: Email, field: str, known: frozenset[str]) -> None:
    """Raise InvalidError unless the mail can be sent."""
    if not email.to:
        raise InvalidError(f"{field}.to: is empty; name a recipient")
    recipients = [*email.to, *email.cc, *email.bcc]
    if len(recipients) > MOST_RECIPIENTS:
        raise InvalidError(f"{field}: at most {MOST_RECIPIENTS} recipients, not {len(recipients)}")
    for address in recipients:
        local, at, domain = address.partition("@")
        if (
            not (local and at and domain)
            or len(address) > MAX_ADDRESS
            or not address.isascii()
            or any(letter.isspace() or not letter.isprintable() for letter in address)
            or any(letter in '<>()[],;:\\"@' for letter in local + domain)
        ):
            raise InvalidError(f"{field}: {address[:80]!r} is not an e-mail address")
    _require_template(email.subject, f"{field}.subject", known)
    _require_template(email.text, f"{field}.text_template", known)
    _require_template(email.html, f"{field}.html_template", known)


def _require_template(source: str, field: str, known: frozenset[str]) -> None:
    if len(source) > MAX_TEMPLATE or "\0" in source:
        raise InvalidError(f"{field}: must be at most {MAX_TEMPLATE} characters, without NUL")
    parse_template(source, field, known)


def run_values(org: OrgName, action: ActionKey, phase: Phase, error: str) -> Mapping[str, str]:
    """Return the values of ``RUN_FIELDS``."""
    run = action.run
    return {
        "Run.Org": org,
        "Run.Project": run.project,
        "Run.Domain": run.domain,
        "Run.Name": run.name,
        "Phase": (Phase.SUCCEEDED if phase is Phase.RECOVERED else phase).name,
        "Error": error if len(error) <= MAX_ERROR else f"{error[:MAX_ERROR]}…",
    }


def pause_values(
    org: OrgName, action: ActionKey, *, prompt: str, description: str, prompt_type: str
) -> Mapping[str, str]:
    """Return the values of ``PAUSE_FIELDS``."""
    run = action.run
    return {
        "Action.Run.Org": org,
        "Action.Run.Project": run.project,
        "Action.Run.Domain": run.domain,
        "Action.Run.Name": run.name,
        "Action.Name": action.name,
        "Prompt": prompt,
        "Description": description,
        "PromptType": prompt_type,
    }


def render_webhook(webhook: Webhook, values: Mapping[str, str]) -> Webhook:
    """Return the request with the values in its headers and body."""
    headers = {
        name: _one_line(_template(value, values).render(values))
        for name, value in webhook.headers.items()
    }
    body = _template(webhook.body, values)
    named = next((v for name, v in headers.items() if name.lower() == "content-type"), "")
    is_json = "json" in named.lower() or (not named and _is_json(body))
    if webhook.body and not named:
        headers["Content-Type"] = "application/json" if is_json else "text/plain; charset=utf-8"
    return Webhook(
        url=render_url(webhook.url, values),
        method=webhook.method,
        headers=headers,
        body=body.render(values, _escape_json if is_json else str),
    )


def render_url(url: str, values: Mapping[str, str]) -> str:
    """Return the address with the values in its path and query, percent-encoded."""
    return _template(url, values).render(values, lambda value: quote(value, safe=""))


def render_email(email: Email, values: Mapping[str, str]) -> Email:
    """Return the mail with the values in its texts."""
    return Email(
        to=email.to,
        cc=email.cc,
        bcc=email.bcc,
        subject=_one_line(_template(email.subject, values).render(values)),
        text=_template(email.text, values).render(values),
        html=""
        if email.html == NO_HTML
        else _template(email.html, values).render(values, html.escape),
    )


def target_of(url: str) -> str:
    """Return the part of a URL that is no secret, and that is busy or down as a whole."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}".lower()


def _origin(url: str) -> str:
    """Return what comes before the path of an address."""
    scheme, _, rest = url.partition("://")
    return scheme + re.split(r"[/?#]", rest, maxsplit=1)[0]


def _template(source: str, values: Mapping[str, str]) -> Template:
    return parse_template(source, "template", values.keys())


def _is_json(body: Template) -> bool:
    try:
        json.loads(body.literal)
    except (ValueError, RecursionError):
        return False
    return True


def _escape_json(value: str) -> str:
    """Return a value for the inside of a JSON string."""
    return json.dumps(value)[1:-1]


def _one_line(value: str) -> str:
    """Return a value for a header: whitespace becomes one space, control characters go."""
    return "".join(letter for letter in " ".join(value.split()) if letter.isprintable())
