"""Tests of wakers: they wake the waiters of an attempt, and no others."""

from dataplane.agent.kube.notifiers import Wakers


def test_wakers_wake_all_waiters_of_attempt() -> None:
    wakers = Wakers()
    with (
        wakers.notified("a") as first,
        wakers.notified("a") as second,
        wakers.notified("b") as other,
    ):
        wakers.wake(["a", "c"])
        assert first.is_set()
        assert second.is_set()
        assert not other.is_set()

        wakers.wake_all()
        assert other.is_set()


def test_wakers_report_last_waiter_leaving() -> None:
    left: list[str] = []
    wakers = Wakers(left.append)
    with wakers.notified("a"):
        with wakers.notified("a"):
            pass
        assert "a" in wakers
        assert left == []
    assert "a" not in wakers
    assert left == ["a"]
