"""
A trigger: the task starts each minute, with the scheduled time as an input.

    flyte deploy examples/trigger.py env
    flyte get trigger
    flyte get run
    flyte update trigger each-minute trigger.main --deactivate

It also runs by hand: flyte run examples/trigger.py main --when 2026-01-31T12:00:00
"""

from datetime import datetime

import flyte

env = flyte.TaskEnvironment(name="trigger")

each_minute = flyte.Trigger(
    "each-minute",
    flyte.Cron("* * * * *", "Europe/London"),
    inputs={"when": flyte.TriggerTime, "place": "London"},
    labels={"kind": "scheduled"},
)


@env.task(triggers=each_minute)
async def main(when: datetime, place: str = "here") -> str:
    return f"{when:%H:%M:%S} in {place}"
