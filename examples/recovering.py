"""
Recovery: a run that failed is repeated, and takes over what succeeded in it.

    flyte run examples/recovering.py main --books 3 --budget 10
    flyte rerun RUN --recover --budget 100

The first run looks up the price of each book, and fails: together they cost more than 10. The
second one, where RUN is the name of the first, looks up no price again; only ``main`` runs.
"""

import asyncio

import flyte

env = flyte.TaskEnvironment(name="recovering_example")


@env.task
async def look_up_price(book: int) -> int:
    """Stand in for a slow computation."""
    print(f"looking up the price of book {book}")
    return 7 + book


@env.task
async def main(books: int = 3, budget: int = 10) -> int:
    price = sum(await asyncio.gather(*(look_up_price(book) for book in range(books))))
    if price > budget:
        raise ValueError(f"{books} books cost {price}, which is more than {budget}")
    return price
