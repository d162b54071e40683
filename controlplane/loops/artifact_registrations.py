"""Registers the artifacts of succeeded attempts."""

from datetime import timedelta

from controlplane.loops.periodic import isolated, run_periodically
from controlplane.usecases.artifact_registrations import ArtifactRegistrations
from shared.kit.clock import Clock

PAGE = 100
EVERY = timedelta(seconds=1)


class ArtifactRegistrationLoop:
    """Loop that registers the artifacts of attempts that are due. Safe on every replica at once."""

    def __init__(self, registrations: ArtifactRegistrations, clock: Clock) -> None:
        self._registrations = registrations
        self._clock = clock

    async def run(self) -> None:
        await run_periodically(
            "artifact registrations", self.run_once, every=EVERY, clock=self._clock
        )

    async def run_once(self) -> int:
        """Register all that is due; return how many artifacts are new."""
        registered = 0
        # What fails is due again after a minute, so this ends.
        while due := await self._registrations.claim(most=PAGE):
            for each in due:
                with isolated("artifact registrations", org=each.org, action=str(each.action)):
                    registered += await self._registrations.register(each)
        return registered
