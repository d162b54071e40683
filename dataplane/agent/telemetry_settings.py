"""Settings of what the agent says about itself: logs and traces."""

from enum import StrEnum

from shared.kit.settings import kinds, setting, settings


class LogLevel(StrEnum):
    """Lowest level that is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@settings("Logs")
class LogSettings:
    level: LogLevel = setting(
        "VOLARY_AGENT_LOG_LEVEL",
        kinds.one_of(LogLevel),
        "The lowest level that is logged.",
        default=LogLevel.INFO,
    )
    json: bool = setting(
        "VOLARY_AGENT_LOG_JSON", kinds.boolean(), "Log a JSON object a line.", default=False
    )


@settings("Traces", "Of OpenTelemetry; they need `volary[traces]`. [Traces](traces.md).")
class TraceSettings:
    endpoint: str = setting(
        "VOLARY_AGENT_TRACES_ENDPOINT",
        kinds.http_url(),
        "A collector that takes OTLP over gRPC, such as `http://otel-collector:4317`. The control "
        "plane decides which runs are recorded.",
        default="",
        default_text="nothing is recorded",
    )
