"""A checkpoint: what one attempt leaves to the next."""

import os
from pathlib import Path

import flyte

env = flyte.TaskEnvironment(name="saving")


@env.task(retries=1)
async def main() -> str:
    context = flyte.ctx()
    assert context is not None
    checkpoint = context.checkpoint
    assert checkpoint is not None
    found = await checkpoint.load()
    before = Path(found).read_text() if found and Path(found).is_file() else "nothing"
    await checkpoint.save(b"half of it")
    if os.environ["FLYTE_ATTEMPT_NUMBER"] == "0":
        raise ValueError("the other half is missing")
    return before
