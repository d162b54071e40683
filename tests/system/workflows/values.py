"""Inputs and outputs: several results, dataclasses, lists, dictionaries, none."""

from dataclasses import dataclass, field

import flyte

env = flyte.TaskEnvironment(name="values")


@dataclass
class Reading:
    celsius: float
    tags: list[str] = field(default_factory=list)


@dataclass
class Summary:
    count: int
    hottest: Reading
    by_tag: dict[str, int]


@env.task
async def summarise(readings: list[Reading]) -> Summary:
    tags = [tag for reading in readings for tag in reading.tags]
    return Summary(
        count=len(readings),
        hottest=max(readings, key=lambda reading: reading.celsius),
        by_tag={tag: tags.count(tag) for tag in tags},
    )


@env.task
async def main(first: Reading, second: Reading) -> tuple[Summary, bool, str | None]:
    summary = await summarise([first, second])
    return summary, summary.hottest == first, None


@env.task
async def echo(text: str) -> str:
    return text
