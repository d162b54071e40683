"""
Tasks that call tasks: a group of shelves, a map over books, and one sum at the end.

    flyte run examples/fan_out.py main --shelves 3 --books 4

Every call of a task from a task is an action of the run, with its own page, logs and
retries. A group only names the actions that belong together.
"""

import asyncio
import functools

import flyte

env = flyte.TaskEnvironment(name="fan_out")


@env.task
async def count_words(book: int, shelf: int) -> int:
    """Stand in for a slow computation."""
    words = (shelf + 1) * 1000 + book
    print(f"book {book} on shelf {shelf} has {words} words")
    return words


@env.task
async def read_shelf(shelf: int, books: int) -> int:
    """Fan out again: child actions may have children."""
    read = functools.partial(count_words, shelf=shelf)
    # Without return_exceptions=False a failed book would be among the counts, as an exception.
    counts = flyte.map.aio(read, range(books), concurrency=2, return_exceptions=False)
    return sum([count async for count in counts])


@env.task
async def main(shelves: int = 2, books: int = 2) -> int:
    print(f"reading {shelves} shelves of {books} books")
    with flyte.group("shelves"):
        totals = await asyncio.gather(*(read_shelf(shelf, books) for shelf in range(shelves)))
    for shelf, total in enumerate(totals):
        print(f"shelf {shelf} has {total} words")
    return sum(totals)
