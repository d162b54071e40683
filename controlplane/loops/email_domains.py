"""Looks up again the DNS records by which orgs have proven their e-mail domains."""

from datetime import timedelta

from controlplane.loops.periodic import isolated, run_periodically
from controlplane.usecases.identity.email_domains import EmailDomains
from shared.kit.clock import Clock


class EmailDomainChecks:
    """Loop over the domains whose records are due."""

    def __init__(self, domains: EmailDomains, clock: Clock, *, every: timedelta) -> None:
        self._domains = domains
        self._clock = clock
        self._every = every

    async def run(self) -> None:
        await run_periodically(
            "e-mail domains", self.run_once, every=self._every, clock=self._clock
        )

    async def run_once(self) -> None:
        """Look up what is due, each replica other domains; one that fails is due again later."""
        while due := await self._domains.take_due():
            for org, domain in due:
                with isolated("e-mail domains", org=org, domain=domain):
                    await self._domains.check(org, domain)
