"""Starts the runs of triggers for versions of artifacts."""

from datetime import timedelta

from controlplane.loops.periodic import isolated, run_periodically
from controlplane.usecases.artifact_triggers import ArtifactTriggers
from shared.kit.clock import Clock

PAGE = 100
EVERY = timedelta(seconds=1)


class ArtifactTriggerLoop:
    """Loop that starts runs for versions that are due. Safe on every replica at once."""

    def __init__(self, triggers: ArtifactTriggers, clock: Clock) -> None:
        self._triggers = triggers
        self._clock = clock

    async def run(self) -> None:
        await run_periodically("artifact triggers", self.run_once, every=EVERY, clock=self._clock)

    async def run_once(self) -> int:
        """Start all that are due; return how many runs are new."""
        started = 0
        # What fails is due again after ten seconds, so this ends.
        while due := await self._triggers.claim(most=PAGE):
            for org in sorted({each.org for each in due}):
                with isolated("artifact triggers", org=org):
                    of_org = [each for each in due if each.org == org]
                    started += await self._triggers.fire(org, of_org)
        return started
