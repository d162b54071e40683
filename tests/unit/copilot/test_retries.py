"""We test what is tried again, when, and when that ends; on a clock of our own."""

import pytest

from dataplane.copilot.deadlines import Deadline
from dataplane.copilot.errors import DeadlineError, TransferRefusedError, TransientError
from dataplane.copilot.pool import Pool, Work
from dataplane.copilot.retries import Retries


class Hands:
    """A clock that moves by naps."""

    def __init__(self) -> None:
        self.at = 0.0

    def now(self) -> float:
        return self.at

    def nap(self, seconds: float) -> None:
        self.at += seconds

    def deadline(self, seconds: float) -> Deadline:
        return Deadline(seconds, now=self.now, nap=self.nap)


class Failing:
    """Fails as it is told to, then returns how often it was tried."""

    def __init__(self, *errors: Exception) -> None:
        self._errors = list(errors)
        self.tries = 0

    def __call__(self) -> int:
        self.tries += 1
        if self._errors:
            raise self._errors.pop(0)
        return self.tries


def test_transient_error_is_retried() -> None:
    hands = Hands()
    retries = Retries(hands.deadline(100), retry_seconds=100)

    assert retries.run(Failing(TransientError("1"), TransientError("2"))) == 3
    assert 0 < hands.at < 5


def test_retry_after_is_respected() -> None:
    hands = Hands()
    retries = Retries(hands.deadline(100), retry_seconds=100)

    retries.run(Failing(TransientError("busy", after=30.0)))

    assert hands.at == pytest.approx(30)


def test_fresh_link_is_retried_at_once_then_with_back_off() -> None:
    hands = Hands()
    retries = Retries(hands.deadline(100), retry_seconds=100)

    retries.run(Failing(TransientError("expired", after=0.0)))
    assert hands.at == 0
    retries.run(Failing(*[TransientError("expired", after=0.0)] * 2))
    assert hands.at > 0


def test_refused_error_is_not_retried() -> None:
    attempt = Failing(TransferRefusedError("no"))
    with pytest.raises(TransferRefusedError):
        Retries(Hands().deadline(100), retry_seconds=100).run(attempt)
    assert attempt.tries == 1


def test_retries_are_limited_by_tries() -> None:
    attempt = Failing(*[TransientError("no", tries=4)] * 9)
    with pytest.raises(TransientError):
        Retries(Hands().deadline(1000), retry_seconds=1000).run(attempt)
    assert attempt.tries == 4


def test_retry_wait_ends_at_the_deadline() -> None:
    hands = Hands()
    with pytest.raises(TransientError):
        Retries(hands.deadline(5), retry_seconds=1000).run(
            Failing(*[TransientError("busy", after=60.0)] * 9)
        )
    assert hands.at == pytest.approx(5)


def test_deadline_is_shortened_and_extended() -> None:
    hands = Hands()
    deadline = hands.deadline(10)
    deadline.shorten(20)
    assert deadline.left() == 10
    deadline.shorten(2)
    assert deadline.left() == 2
    hands.at = 2
    assert deadline.left() == 0
    with pytest.raises(DeadlineError, match="while dawdling"):
        deadline.require("dawdling")
    deadline.extend(3)
    deadline.require("dawdling")
    assert deadline.left() == 3


def test_pool_runs_returned_work_items() -> None:
    done: list[str] = []

    def split(name: str, depth: int) -> Work:
        def work() -> list[Work]:
            done.append(name)
            return [split(f"{name}.{n}", depth - 1) for n in range(3)] if depth else []

        return work

    with Pool(4, Deadline(60)) as pool:
        pool.run(iter([split("a", 2), split("b", 0)]), "testing")

    assert len(done) == 1 + 3 + 9 + 1


def test_pool_starts_nothing_after_the_first_error() -> None:
    begun = 0

    def work() -> list[Work]:
        nonlocal begun
        begun += 1
        raise TransferRefusedError("no")

    with Pool(1, Deadline(60)) as pool, pytest.raises(TransferRefusedError):
        pool.run(iter([work] * 1000), "testing")
    assert begun < 10
