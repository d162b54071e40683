"""
Builds and runs the loops that record what waits in all orgs and what was used, and read limits of requests.

A part of ``main``.
"""

import asyncio
from dataclasses import dataclass
from datetime import timedelta

from controlplane.api.request_rates import RequestRates
from controlplane.loops.pending_reasons import PendingReasonRecorder
from controlplane.loops.queue_samples import QueueSampler
from controlplane.loops.request_rates import RequestRateReader
from controlplane.loops.usage import UsageMeter
from controlplane.store.database import Database
from controlplane.usecases.queue_history import KEPT
from shared.kit.clock import Clock

_REASONS_KEPT = timedelta(days=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryLoops:
    pending_reasons: PendingReasonRecorder
    queues: QueueSampler
    usage: UsageMeter
    rates: RequestRates  # of this replica
    rate_reader: RequestRateReader

    async def run(self) -> None:
        """Run the loops until cancelled."""
        async with asyncio.TaskGroup() as loops:
            loops.create_task(self.pending_reasons.run(), name="pending reasons")
            loops.create_task(self.queues.run(), name="queue samples")
            loops.create_task(self.usage.run(), name="usage")
            loops.create_task(self.rate_reader.run(), name="request rates")


def make_history_loops(database: Database, clock: Clock) -> HistoryLoops:
    rates = RequestRates()
    return HistoryLoops(
        pending_reasons=PendingReasonRecorder(
            database, clock, keep=_REASONS_KEPT, every=timedelta(seconds=1)
        ),
        queues=QueueSampler(database, clock, keep=KEPT, every=timedelta(seconds=20)),
        usage=UsageMeter(database, clock, every=timedelta(seconds=10)),
        rates=rates,
        rate_reader=RequestRateReader(
            database, clock, rates.set_limits, every=timedelta(seconds=5)
        ),
    )
