"""A task that starts by a schedule, at a time that it can do without, or by hand."""

from datetime import datetime

import flyte

env = flyte.TaskEnvironment(name="scheduled")

yearly = flyte.Trigger(
    "yearly",
    flyte.Cron("0 0 1 1 *"),
    inputs={"as_of": flyte.TriggerTime, "region": "all"},
    auto_activate=False,
)
quick = flyte.Trigger("quick", inputs={"region": "eu"}, auto_activate=False)


@env.task(triggers=(yearly, quick))
async def main(region: str = "none", as_of: datetime | None = None) -> str:
    if as_of is None:
        return f"{region}, at no time"
    started = flyte.ctx().run_start_time
    return f"{region}, at the start of its run: {as_of == started}"
