"""Parses the automation of a trigger: by cron, at a fixed rate, or none."""

from datetime import datetime, timedelta

from flyteidl2.task.common_pb2 import (
    FixedRate,
    FixedRateUnit,
    Schedule,
    TriggerAutomationSpec,
    TriggerAutomationSpecType,
)

from controlplane.api.convert.timestamps import parse_timestamp
from controlplane.core.errors import InvalidError
from controlplane.core.schedules import (
    MAX_INTERVAL,
    Schedule as ParsedSchedule,
    parse_cron,
    parse_rate,
)
from controlplane.core.triggers import AutomationType

_MINUTES = {
    FixedRateUnit.FIXED_RATE_UNIT_MINUTE: 1,
    FixedRateUnit.FIXED_RATE_UNIT_HOUR: 60,
    FixedRateUnit.FIXED_RATE_UNIT_DAY: 24 * 60,
}


def parse_automation(
    automation: TriggerAutomationSpec, now: datetime
) -> tuple[AutomationType, ParsedSchedule | None]:
    """
    Parse when a trigger starts runs; InvalidError names the field.

    ``now`` is the anchor of a rate without a start.
    """
    given = automation.WhichOneof("automation")
    match automation.type, given:
        case TriggerAutomationSpecType.TYPE_NONE, None:
            return AutomationType.NONE, None
        case TriggerAutomationSpecType.TYPE_SCHEDULE, "schedule":
            return AutomationType.SCHEDULE, _parse_schedule(automation.schedule, now)
        case TriggerAutomationSpecType.TYPE_ARTIFACT, "artifact":
            return AutomationType.ARTIFACT, None
        case _:
            raise InvalidError(
                f"automation_spec: type {automation.type} does not go with"
                f" {given or 'no automation'}; TYPE_NONE (1) goes with none, TYPE_SCHEDULE (2)"
                " with schedule, TYPE_ARTIFACT (3) with artifact"
            )


def _parse_schedule(schedule: Schedule, now: datetime) -> ParsedSchedule:
    field = "automation_spec.schedule"
    match schedule.WhichOneof("expression"):
        case "cron":
            return parse_cron(
                schedule.cron.expression, schedule.cron.timezone, field=f"{field}.cron"
            )
        case "cron_expression":
            return parse_cron(schedule.cron_expression, "", field=f"{field}.cron_expression")
        case "rate":
            return _parse_rate(schedule.rate, f"{field}.rate", now)
        case _:
            raise InvalidError(f"{field}: has neither cron nor rate; give one")


def _parse_rate(rate: FixedRate, field: str, now: datetime) -> ParsedSchedule:
    minutes = rate.value * _MINUTES.get(rate.unit, 0)
    if not 0 < minutes <= MAX_INTERVAL // timedelta(minutes=1):
        raise InvalidError(
            f"{field}: {rate.value} of unit {rate.unit} is no interval; give 1 minute to"
            f" {MAX_INTERVAL.days} days in MINUTE (1), HOUR (2) or DAY (3)"
        )
    start = parse_timestamp(rate.start_time, f"{field}.start_time")
    return parse_rate(
        timedelta(minutes=minutes), start if rate.HasField("start_time") else None, now
    )
