"""Settings of the result cache."""

from datetime import timedelta

from shared.kit.settings import kinds, setting, settings

_SHORTEST = timedelta(days=2).total_seconds()  # a use is recorded to the day
_LONGEST = timedelta(days=10 * 365).total_seconds()


@settings("Result cache")
class CacheSettings:
    keep_unused: timedelta = setting(
        "VOLARY_CACHE_KEEP_UNUSED_SECONDS",
        kinds.seconds(_SHORTEST, _LONGEST),
        "For how long a cached result is kept that no action uses; each use begins this time again, "
        "to the day. It should not be longer than outputs are kept in the bucket: an entry whose "
        "outputs are gone is deleted when an action would use it, and the action runs.",
        default=timedelta(days=30),
        default_text="`2592000` (30 days)",
    )
    max_age: timedelta | None = setting(
        "VOLARY_CACHE_MAX_AGE_SECONDS",
        kinds.seconds_or_unlimited(_LONGEST),
        "The age up to which a cached result is used by tasks that set no maximum age themselves. A task "
        "whose maximum age is 0 uses results of any age.",
        default=None,
        default_text="`0`, any age",
    )
    delete_every: timedelta = timedelta(hours=1)  # a pass that deletes unused entries
