"""Settings of tracked runs."""

from datetime import timedelta

from shared.kit.settings import kinds, setting, settings


@settings("Tracked runs")
class TrackedRunSettings:
    timeout: timedelta = setting(
        "VOLARY_TRACKED_RUN_TIMEOUT_SECONDS",
        kinds.seconds(60, timedelta(days=365).total_seconds()),
        "For how long a tracked run (`flyte run --tracked`) stays live without a report of the "
        "program that runs it; then it is aborted, as its reporter is lost. Longer than the longest "
        "task that people run so: a program reports when a task begins and ends, not in between.",
        default=timedelta(days=1),
        default_text="`86400` (a day)",
    )
