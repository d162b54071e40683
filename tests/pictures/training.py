"""A workflow that looks like work: shards of unequal length, one that fails twice, and an evaluation."""

import asyncio
import os

import flyte

env = flyte.TaskEnvironment(name="training", resources=flyte.Resources(cpu=1, memory="500Mi"))


@env.task
async def load_shard(number: int) -> int:
    print(f"shard {number}: reading")  # noqa: T201
    await asyncio.sleep(0.4 + (number * 7 % 5) * 0.6)
    return number * 1000


@env.task(retries=2)
async def train_fold(fold: int, rows: int) -> float:
    attempt = int(os.environ.get("FLYTE_ATTEMPT_NUMBER", "0"))
    print(f"fold {fold}, {rows} rows, attempt {attempt}")  # noqa: T201
    await asyncio.sleep(1.0 + fold)
    if fold == 1 and attempt < 2:
        raise ValueError(f"loss is not a number after step {300 + attempt}")
    return 0.9 + fold / 100


@env.task(retries=1)
async def export_weights(fold: int) -> str:
    await asyncio.sleep(0.6)
    if fold == 2:
        raise PermissionError("403 from the registry: the token may not push models/ranker")
    return f"ranker-{fold}"


@env.task
async def main(shards: int = 12, folds: int = 3) -> float:
    with flyte.group("shards"):
        rows = sum(await asyncio.gather(*(load_shard(number) for number in range(shards))))
    with flyte.group("folds"):
        scores = await asyncio.gather(*(train_fold(fold, rows) for fold in range(folds)))
    with flyte.group("export"):
        await asyncio.gather(*(export_weights(fold) for fold in range(folds)))
    return max(scores)
