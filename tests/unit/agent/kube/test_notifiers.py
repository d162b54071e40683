"""Whoever waits for an attempt is woken for it, and nobody else."""

from dataplane.agent.kube.notifiers import Wakers


def test_all_who_wait_for_an_attempt_are_woken() -> None:
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


def test_the_last_who_waited_is_noticed() -> None:
    left: list[str] = []
    wakers = Wakers(left.append)
    with wakers.notified("a"):
        with wakers.notified("a"):
            pass
        assert "a" in wakers
        assert left == []
    assert "a" not in wakers
    assert left == ["a"]
