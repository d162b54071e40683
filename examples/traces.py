"""
Traces: steps inside one task whose results are recorded, so that a retry skips them.

    flyte run examples/traces.py main --name you

The task kills itself once, after two costly steps. Its second attempt reads the recorded
results of both and runs only the remaining code.
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
