"""
Inputs and outputs: dataclasses, lists, and several results at once.

    flyte run examples/values.py main --readings '[20.5, 21.0, 35.2]'
"""

from dataclasses import dataclass
from statistics import fmean

import flyte

env = flyte.TaskEnvironment(name="values")


@dataclass
class Summary:
    count: int
    mean: float
    outliers: list[float]


@env.task
async def summarise(readings: list[float], tolerance: float) -> Summary:
    mean = fmean(readings)
    return Summary(
        count=len(readings),
        mean=mean,
        outliers=[reading for reading in readings if abs(reading - mean) > tolerance],
    )


@env.task
async def main(readings: list[float], tolerance: float = 5.0) -> tuple[Summary, bool]:
    """Return the summary, and whether no reading is an outlier."""
    summary = await summarise(readings, tolerance)
    return summary, not summary.outliers
