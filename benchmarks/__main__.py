"""Runs the benchmarks below with their default sizes, and prints a table for each."""

import argparse
import asyncio
import sys

from benchmarks import aborts, copilot, dispatch, hello, large_run, locked_run

_DEFAULT = (dispatch, large_run, aborts, locked_run, hello, copilot)
_OTHERS = {
    "api_calls": "the API's steps of one Enqueue call",
    "asgi_servers": "uvicorn, hypercorn and granian under the API",
    "console": "the run page of a large run in a browser",
    "faults": "throughput and fairness while processes are killed",
    "logins": "calls with a token, revocation, an attack on the token endpoint",
    "noisy_neighbour": "an org's latency beside one at 100 times its quota of requests",
    "run_views": "what a viewer of a large run costs the control plane",
    "triggers": "how late scheduled runs are created",
    "kube": "the agent on a Kubernetes API server",
    "turns": "two commits by turns on one machine, with the ratio of each measure",
}


def _description() -> str:
    listed = [f"  {each.__name__:24}{_summary(each.__doc__)}" for each in _DEFAULT]
    others = [f"  benchmarks.{name:13}{summary}" for name, summary in _OTHERS.items()]
    return "\n".join([
        f"{__doc__}",
        *listed,
        "\nOthers, by themselves:",
        *others,
        "\nEach has options: python -m benchmarks.dispatch --help",
    ])  # fmt: skip


def _summary(text: str | None) -> str:
    return (text or "").strip().split(".\n")[0].split(":")[0].replace("\n", " ")


async def main() -> None:
    argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=_description(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    ).parse_args()
    sys.argv[1:] = []
    for benchmark in _DEFAULT:
        if benchmark is copilot and not copilot.can_run():
            print("skipped: benchmarks.copilot compares with aws; pip install awscli")
            continue
        await benchmark.main()


if __name__ == "__main__":
    asyncio.run(main())
