"""Run every benchmark with its usual size; a table each."""

import asyncio
import sys

from benchmarks import dispatch, hello, large_run


async def main() -> None:
    sys.argv[1:] = []
    for benchmark in (dispatch, large_run, hello):
        await benchmark.main()


if __name__ == "__main__":
    asyncio.run(main())
