"""Compare this machine's clock with those of other servers."""

from datetime import timedelta

from dataplane.agent.doctor.results import CheckResult, fault, fine, warning

_FINE = timedelta(seconds=5)
_WRONG = timedelta(seconds=30)
_REMEDY = "let NTP set this node's clock: tokens, certificates and signed links go by it"


def check_skew(skew: timedelta, whose: str) -> CheckResult:
    """Return the result for ``skew``: how far this clock is ahead of the other."""
    about = "clock"
    ahead = f"{abs(skew).total_seconds():.1f} s {'ahead of' if skew > timedelta() else 'behind'}"
    if abs(skew) <= _FINE:
        return fine(about, f"within {_FINE.seconds} s of {whose}")
    if abs(skew) <= _WRONG:
        return warning(about, f"{ahead} {whose}", _REMEDY)
    return fault(about, f"{ahead} {whose}", _REMEDY)
