"""Makes the recorder of spans that the settings ask for; loads OpenTelemetry only if they do."""

import logging

from shared.kit.settings import SettingsError
from shared.traces.spans import NO_SPANS, SpanRecorder

_LIBRARY = "opentelemetry"


def make_recorder(endpoint: str, *, service: str, ratio: float = 0.0) -> SpanRecorder:
    """
    Return a recorder that sends spans to the collector at ``endpoint``; "": one that records none.

    ``service`` names the program in traces. ``ratio`` of all runs are sampled, where this program
    decides. SettingsError: the packages that it takes are not installed.
    """
    if not endpoint:
        return NO_SPANS
    try:
        from shared.traces.export import OtlpRecorder  # noqa: PLC0415 - slow, and optional
    except ModuleNotFoundError as error:
        raise SettingsError(
            "traces are configured, and their packages are not installed; "
            "pip install 'volary[traces]'"
        ) from error
    # It logs each export that failed; the recorder has a line of its own, once a minute.
    logging.getLogger(_LIBRARY).setLevel(logging.CRITICAL)
    return OtlpRecorder(endpoint, service=service, ratio=ratio)
