"""
A report: HTML that a task writes while it works.

    flyte run examples/reports.py main --points 12
"""

import math

import flyte
import flyte.report

env = flyte.TaskEnvironment(name="reports")


def drawing(points: int) -> str:
    """Draw a wave as SVG, which needs nothing but a browser."""
    marks = "".join(
        f'<circle cx="{10 + x * 20}" cy="{50 - 40 * math.sin(x / 2):.1f}" r="4" />'
        for x in range(points)
    )
    return f'<svg width="{20 + points * 20}" height="100">{marks}</svg>'


@env.task(report=True)
async def main(points: int = 12) -> int:
    await flyte.report.replace.aio(f"<h1>A wave</h1>{drawing(points)}", do_flush=True)
    return points
