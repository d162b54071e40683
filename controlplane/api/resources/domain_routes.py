"""Routes of the org's domains."""

from collections.abc import Sequence

from controlplane.api.resources.route import Route

_DOMAIN = "flyteidl2.org.DomainService"
_ID = {"domain": "id"}

DOMAINS: Sequence[Route] = (
    Route(
        method="GET",
        path="domains",
        rpc=f"{_DOMAIN}/ListDomains",
        about="List the domains that every project has.",
        fills={},
    ),
    Route(
        method="POST",
        path="domains",
        rpc=f"{_DOMAIN}/CreateDomain",
        about="Create a domain, in every project.",
        fills={},
        body="",
        answer="domain",
        is_create=True,
    ),
    Route(
        method="GET",
        path="domains/{domain}",
        rpc=f"{_DOMAIN}/GetDomain",
        about="Get a domain.",
        fills=_ID,
        answer="domain",
    ),
    Route(
        method="PUT",
        path="domains/{domain}",
        rpc=f"{_DOMAIN}/UpdateDomain",
        about="Rename a domain for people; its id stays.",
        fills=_ID,
        body="",
        answer="domain",
    ),
    Route(
        method="DELETE",
        path="domains/{domain}",
        rpc=f"{_DOMAIN}/DeleteDomain",
        about="Delete a domain without runs that go on and without triggers.",
        fills=_ID,
    ),
)
