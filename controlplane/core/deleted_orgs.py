"""
Deleted orgs: when their agents, their chance to come back and their data end.

From the deletion on the org accepts no credential and admits no work; its runs are aborted, and its
agents may connect for some minutes to stop what they run. Until ``erase_at`` an operator can restore
the org; then its data is erased. Its row stays, so that no other org gets the name.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.model.ids import OrgName

AGENTS_STOP_WITHIN = timedelta(minutes=10)
"""How long agents of a deleted org may connect, to stop the attempts that they run."""
AGENTS_RETURN_AFTER = timedelta(minutes=10)
"""How long agents of a deleted org stay away before they ask whether it was restored."""
DEFAULT_GRACE = timedelta(days=14)
"""How long a deleted org can be restored, unless the installation sets another time."""
ABORT_REASON = "the org was deleted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Deletion:
    """How far the deletion of an org has come."""

    deleted_at: datetime
    deleted_by: str
    agents_until: datetime
    erase_at: datetime
    erasing_since: datetime | None = None
    erased_at: datetime | None = None

    @property
    def is_final(self) -> bool:
        """Whether rows or objects may be gone, so that it cannot be restored."""
        return self.erasing_since is not None


def explain_deletion(name: OrgName, deletion: Deletion) -> str:
    """Return the sentence for those who use a deleted org."""
    told = f"org {name} was deleted on {deletion.deleted_at:%Y-%m-%d}"
    if deletion.is_final:
        return f"{told}, and its data is erased"
    return f"{told}; the operator can restore it until {deletion.erase_at:%Y-%m-%d %H:%M} UTC"
