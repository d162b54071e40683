"""A report: HTML written beside the outputs."""

import flyte
import flyte.report

env = flyte.TaskEnvironment(name="reporting")


@env.task(report=True)
async def main(title: str) -> None:
    await flyte.report.replace.aio(f"<h1>{title}</h1>", do_flush=True)
