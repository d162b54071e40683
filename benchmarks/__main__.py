"""Run every benchmark with its default size and print a table for each."""

import asyncio
import sys

from benchmarks import copilot, dispatch, hello, large_run


async def main() -> None:
    sys.argv[1:] = []
    for benchmark in (dispatch, large_run, hello):
        await benchmark.main()
    if copilot.can_run():
        await copilot.main()
    else:
        print("The copilot is compared with aws, which is not here: pip install awscli")


if __name__ == "__main__":
    asyncio.run(main())
