"""Callers hold permissions in scopes; built-in roles are sets of permissions."""

from itertools import pairwise

import pytest

from controlplane.core.callers import (
    ANONYMOUS,
    EVERYTHING,
    Caller,
    Grant,
    Permission,
    Subject,
    in_scopes,
    org_wide,
)
from controlplane.core.errors import NotAllowedError, NotFoundError
from controlplane.core.roles import BUILT_IN_ROLES, OWNER, VIEWER
from tests.factories import ORG

READ, ABORT = Permission.RUN_READ, Permission.RUN_ABORT


def caller(*grants: Grant) -> Caller:
    return Caller(subject=Subject("user:1"), org=ORG, name="Ada", grants=grants)


def grant(*permissions: Permission, project: str = "", domain: str = "") -> Grant:
    return Grant(frozenset(permissions), project, domain)


def test_permissions_are_alphabetical_and_each_noun_can_be_read() -> None:
    assert list(Permission) == sorted(Permission)
    assert {each.read for each in Permission} <= EVERYTHING


ORG_WIDE, PROJECT, DOMAIN, ELSEWHERE = ("", ""), ("p", ""), ("p", "d"), ("other", "d")


@pytest.mark.parametrize(
    ("held", "where"),
    [
        (grant(READ), {ORG_WIDE, PROJECT, DOMAIN, ELSEWHERE}),
        (grant(READ, project="p"), {PROJECT, DOMAIN}),
        (grant(READ, project="p", domain="d"), {DOMAIN}),
        (grant(ABORT), set()),
    ],
    ids=["in the org", "in a project", "in a domain", "another permission"],
)
def test_caller_holds_a_permission_only_in_the_scope_of_its_grant(
    held: Grant, where: set[tuple[str, str]]
) -> None:
    scopes = (ORG_WIDE, PROJECT, DOMAIN, ELSEWHERE)
    assert {scope for scope in scopes if caller(held).may(READ, *scope)} == where


def test_grant_in_a_domain_without_a_project_is_refused() -> None:
    with pytest.raises(ValueError, match="names the domain's project"):
        grant(READ, domain="production")


def test_caller_does_not_find_a_project_that_it_may_not_read() -> None:
    it = caller(grant(READ, ABORT, project="p", domain="d"))
    it.require(ABORT, "p", "d")
    with pytest.raises(NotFoundError, match="project other/d not found"):
        it.require(ABORT, "other", "d")
    with pytest.raises(NotFoundError, match="project p not found"):
        it.require(READ, "p")


def test_refused_reader_of_a_project_learns_the_missing_permission() -> None:
    it = caller(grant(READ, project="p"))
    with pytest.raises(NotAllowedError, match="lacks the permission run:abort in project p, dom"):
        it.require(ABORT, "p", "d")
    with pytest.raises(NotAllowedError, match=r"in project p$"):
        it.require(ABORT, "p")


def test_caller_with_grants_in_a_project_lacks_permissions_on_things_of_the_org() -> None:
    it = caller(grant(*EVERYTHING, project="p"))
    with pytest.raises(NotAllowedError, match="queue:read in org"):
        it.require(Permission.QUEUE_READ)


def test_caller_is_refused_an_rpc_only_if_it_lacks_its_permission_everywhere() -> None:
    caller(grant(ABORT), grant(READ, project="p")).require_somewhere(READ)
    with pytest.raises(NotAllowedError, match="lacks the permission run:read in org"):
        caller(grant(ABORT)).require_somewhere(READ)
    with pytest.raises(NotAllowedError):
        ANONYMOUS.require_somewhere(READ)


def test_list_scopes_are_the_scopes_of_the_grants_or_the_whole_org() -> None:
    inside = [grant(READ, project="p"), grant(READ, project="q", domain="d")]
    assert caller(*inside, grant(ABORT)).list_scopes(READ) == frozenset({("p", ""), ("q", "d")})
    assert caller(*inside, grant(READ)).list_scopes(READ) is None
    assert caller(grant(ABORT)).list_scopes(READ) == frozenset()


def test_caller_of_one_domain_may_read_what_belongs_to_its_project() -> None:
    it = caller(grant(READ, project="p", domain="d"))
    it.require_part(READ, "p")
    caller(grant(READ)).require_part(READ, "p")
    with pytest.raises(NotFoundError, match="project other not found"):
        it.require_part(READ, "other")


def test_scopes_hold_whole_projects_and_single_domains() -> None:
    scopes = frozenset({("p", ""), ("q", "d")})
    assert in_scopes(scopes, "p", "anything")
    assert in_scopes(scopes, "q", "d")
    assert not in_scopes(scopes, "q", "e")
    assert in_scopes(None, "q", "e")


def test_caller_cannot_grant_what_it_lacks() -> None:
    it = caller(grant(READ), grant(ABORT, project="p"))
    it.require_all({READ, ABORT}, "p")
    with pytest.raises(NotAllowedError, match="lacks run:abort in org acme, and cannot grant"):
        it.require_all({READ, ABORT})


def test_built_in_role_has_less_than_the_one_above_it() -> None:
    roles = list(BUILT_IN_ROLES.values())
    assert all(lower < higher for higher, lower in pairwise(roles))
    assert BUILT_IN_ROLES[OWNER] == EVERYTHING
    assert all(each.endswith(":read") for each in BUILT_IN_ROLES[VIEWER])


def test_org_wide_grant_holds_in_every_project() -> None:
    assert caller(*org_wide([READ])).may(READ, "p", "d")
