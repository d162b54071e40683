"""The admission limiter admits a limited number in FIFO order; a slow caller's slot expires."""

import asyncio

from shared.kit.admission import AdmissionLimiter


async def test_admission_is_fifo_and_limited() -> None:
    limiter, inside, most, order = AdmissionLimiter(2, hold_at_most=60), 0, 0, []

    async def come(number: int) -> None:
        nonlocal inside, most
        async with limiter.admitted():
            order.append(number)
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0)
            inside -= 1

    async with asyncio.TaskGroup() as crowd:
        for number in range(9):
            crowd.create_task(come(number))
    assert (most, order) == (2, list(range(9)))


async def test_admission_slot_is_released_once() -> None:
    limiter = AdmissionLimiter(1, hold_at_most=60)
    async with limiter.admitted() as release:
        release()
        release()  # once is enough
        async with limiter.admitted():
            pass


async def test_admission_slot_of_slow_caller_expires() -> None:
    limiter = AdmissionLimiter(1, hold_at_most=0.01)
    async with asyncio.timeout(60), limiter.admitted(), limiter.admitted():
        pass


async def test_admission_cancelled_while_waiting_loses_no_slot() -> None:
    limiter = AdmissionLimiter(1, hold_at_most=60)

    async def come() -> None:
        async with limiter.admitted():
            pass

    async with asyncio.TaskGroup() as crowd:
        async with limiter.admitted():
            waits = crowd.create_task(come())
            await asyncio.sleep(0)
            waits.cancel()
        crowd.create_task(come())
