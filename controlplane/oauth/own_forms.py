"""Refuses forms that a page of this service did not send (cross-site request forgery)."""

import logging
from collections.abc import Mapping

from starlette.requests import Request

from controlplane.oauth.requests import BadRequestError
from shared.kit.outside_logs import OutsideLog
from shared.kit.secrets import SecretText

log = logging.getLogger(__name__)
outside = OutsideLog(log)

_FOREIGN_FORM = "The form did not come from this page, or your session has ended; try again."


def require_own_form(
    request: Request, form: Mapping[str, str], expected: SecretText, subject: str
) -> None:
    """
    Raise BadRequestError unless the form carries the ``expected`` token and is same-origin.

    ``subject``: who is logged in, for the log.
    """
    site = request.headers.get("sec-fetch-site", "same-origin")
    if SecretText(form.get("csrf_token", "")) != expected or site != "same-origin":
        outside.warning(
            "foreign form refused",
            extra={"path": request.url.path, "subject": subject, "site": site[:20]},
        )
        raise BadRequestError(_FOREIGN_FORM)
