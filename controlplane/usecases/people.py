"""Use case of people's names: the profiles that runs and actions are shown with."""

from collections.abc import Iterable
from datetime import timedelta

from controlplane.core.actions import ActionRow
from controlplane.core.profiles import Profile, Profiles
from controlplane.store.database import Database
from controlplane.store.identity.profiles import find_profiles
from shared.kit.cache import ExpiringCache
from shared.kit.clock import Clock
from shared.model.ids import OrgName

KEPT_FOR = timedelta(minutes=1)
"""How late a changed name is shown; a watch asks for the same few people again and again."""
MOST_KEPT = 10_000


class People:
    """Finds profiles by their subjects, and keeps them for a minute."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._kept: ExpiringCache[tuple[OrgName, str], Profile | None] = ExpiringCache(
            MOST_KEPT, clock
        )

    async def of_rows(self, org: OrgName, rows: Iterable[ActionRow]) -> Profiles:
        """Return the profiles of those who created, aborted or answered these actions."""
        subjects = {
            subject
            for row in rows
            for subject in (row.created_by, row.aborted_by, row.signalled_by)
            if subject
        }
        return await self.find(org, subjects)

    async def find(self, org: OrgName, subjects: Iterable[str]) -> Profiles:
        """Return the profiles of the subjects that have one; no statement if all are known."""
        found: dict[str, Profile] = {}
        unknown: list[str] = []
        for subject in subjects:
            try:
                profile = self._kept[org, subject]
            except KeyError:
                unknown.append(subject)
                continue
            if profile is not None:
                found[subject] = profile
        if unknown:
            async with self._database.for_org(org) as tx:
                read = await find_profiles(tx, unknown)
            until = self._clock.now() + KEPT_FOR
            for subject in unknown:
                self._kept.put((org, subject), read.get(subject), until=until)
            found.update(read)
        return found
