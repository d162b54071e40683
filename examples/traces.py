"""
Traces: steps inside one task that are remembered, so that a retry does not repeat them.

    flyte run examples/traces.py main --name you

The task kills itself once, after two costly steps. Its second attempt takes the results
of both from where they were written down, and does only what was left.
"""

import os
import signal

import flyte

env = flyte.TaskEnvironment(name="traces")


@flyte.trace
async def costly(step: str) -> str:
    print(f"doing the costly step {step}")
    return step.upper()


@env.task(retries=1)
async def main(name: str = "world") -> str:
    first = await costly(name)
    second = await costly(f"dear {name}")
    if os.environ.get("FLYTE_ATTEMPT_NUMBER") == "0":
        os.kill(os.getpid(), signal.SIGKILL)
    return f"{first}, {second}"
