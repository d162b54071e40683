"""A few at a time, in the order in which they came, and nobody holds up the others for ever."""

import asyncio

from controlplane.link.turnstile import Turnstile


async def test_so_many_pass_at_a_time_and_in_order() -> None:
    turnstile, inside, most, order = Turnstile(2, dawdle=60), 0, 0, []

    async def come(number: int) -> None:
        nonlocal inside, most
        async with turnstile.passed():
            order.append(number)
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0)
            inside -= 1

    async with asyncio.TaskGroup() as crowd:
        for number in range(9):
            crowd.create_task(come(number))
    assert (most, order) == (2, list(range(9)))


async def test_who_is_through_makes_room_though_it_stays() -> None:
    turnstile = Turnstile(1, dawdle=60)
    async with turnstile.passed() as leave:
        leave()
        leave()  # once is enough
        async with turnstile.passed():
            pass


async def test_who_dawdles_holds_up_nobody_for_ever() -> None:
    turnstile = Turnstile(1, dawdle=0.01)
    async with asyncio.timeout(60), turnstile.passed(), turnstile.passed():
        pass


async def test_who_gives_up_waiting_leaves_no_gap() -> None:
    turnstile = Turnstile(1, dawdle=60)

    async def come() -> None:
        async with turnstile.passed():
            pass

    async with asyncio.TaskGroup() as crowd:
        async with turnstile.passed():
            waits = crowd.create_task(come())
            await asyncio.sleep(0)
            waits.cancel()
        crowd.create_task(come())
