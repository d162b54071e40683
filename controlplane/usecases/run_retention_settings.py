"""Settings of the retention of runs."""

from datetime import timedelta

from shared.kit.settings import kinds, setting, settings

_LONGEST = timedelta(days=10 * 365).total_seconds()


@settings("Retention of runs")
class RunRetentionSettings:
    keep: timedelta | None = setting(
        "VOLARY_RUNS_KEEP_SECONDS",
        kinds.seconds_or_unlimited(_LONGEST),
        "For how long an ended run is kept. Then it is deleted with its inputs, outputs, logs and files in "
        "the bucket, unless something [needs it](retention.md): an artifact, a cached result, a run that "
        "recovered it. It cannot be brought back.",
        default=None,
        default_text="`0`, for ever",
    )
