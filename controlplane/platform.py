"""
Builds the services of the platform API, by their full names.

A part of ``main``.
"""

from collections.abc import Mapping

from controlplane.api.platform.members import MemberService
from controlplane.api.platform.orgs import OrgService
from controlplane.store.database import Database
from controlplane.usecases.identity.members import Members
from controlplane.usecases.identity.orgs import Orgs
from shared.kit.clock import Clock

PACKAGE = "volary.platform.v1"


def make_platform(
    database: Database, clock: Clock, *, self_service_orgs: bool
) -> Mapping[str, object]:
    """Build the services; ``self_service_orgs``: every person may create an org."""
    served: Mapping[str, object] = {
        "MemberService": MemberService(Members(database, clock)),
        "OrgService": OrgService(Orgs(database, clock, self_service=self_service_orgs)),
    }
    return {f"{PACKAGE}.{name}": service for name, service in served.items()}
