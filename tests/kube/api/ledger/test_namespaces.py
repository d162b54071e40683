"""Tests of which namespaces the agent uses: only those labelled for its tasks."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from dataplane.agent.kube.client import Kube
from dataplane.agent.kube.namespaces import (
    ForeignNamespaceError,
    Namespaces,
    NoNamespaceError,
    UnlabelledNamespaceError,
)
from dataplane.agent.kube.objects import NAMESPACE, Name, namespace_of
from dataplane.agent.runtimes.kubernetes.pods import Security
from shared.kit.clock import SystemClock
from shared.model.assignments import Assignment
from shared.model.ids import ActionKey, DomainName, OrgName, ProjectName, RunKey, RunName
from tests.kube.client import KubeClient
from tests.unit.agent.assignments import make_assignment

_NAMESPACES = "/api/v1/namespaces"


def of_project(project: str, domain: str = "development", org: str = "acme") -> Assignment:
    assignment = make_assignment()
    run = RunKey(ProjectName(project), DomainName(domain), RunName("r1"))
    key = ActionKey(run, assignment.key.name)
    return replace(assignment, key=key, org=OrgName(org))


class Here:
    """Namespaces whose names begin with that of the test's namespace."""

    def __init__(self, kube: Kube, place: str) -> None:
        self.kube = kube
        self.place = place
        self.template = f"{place}-{{project}}-{{domain}}"

    def open(
        self, *, own: str = "volary", create: bool = True, security: Security | None = None
    ) -> Namespaces:
        return Namespaces(
            self.kube,
            own=own,
            template=self.template,
            create=create,
            clock=SystemClock(),
            pod_security=(security or Security()).level_in,
        )

    async def ensure(self, assignment: Assignment, **how: Any) -> str:
        name = namespace_of(assignment, self.template)
        await self.open(**how).ensure(name, assignment)
        return name


@pytest.fixture
async def here(kube: Kube, place: str, api: KubeClient) -> AsyncIterator[Here]:
    yield Here(kube, place)
    for found in await api.list(_NAMESPACES):
        if found["metadata"]["name"].startswith(f"{place}-"):
            await api.delete(f"{_NAMESPACES}/{found['metadata']['name']}")


@pytest.mark.parametrize(("project", "level"), [("ml", "privileged"), ("web", "baseline")])
async def test_created_namespace_enforces_the_level_of_its_own_project(
    here: Here, project: str, level: str
) -> None:
    security = Security(projects={"ml": Security(host_path=True)})
    name = await here.ensure(of_project(project), security=security)
    found = await here.kube.get(NAMESPACE, Name("", name))
    assert found["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == level


async def test_created_namespace_enforces_baseline_and_names_owner(here: Here) -> None:
    name = await here.ensure(of_project("p" * 60))
    metadata = (await here.kube.get(NAMESPACE, Name("", name)))["metadata"]

    assert metadata["labels"]["pod-security.kubernetes.io/enforce"] == "baseline"
    assert metadata["labels"]["volary.dev/managed"] == "true"
    assert metadata["labels"]["volary.dev/domain"] == "development"
    assert metadata["annotations"]["volary.dev/project"] == "p" * 60
    assert await here.ensure(of_project("p" * 60), create=False) == name


async def test_namespaces_of_long_project_names_differ_by_domain(here: Here) -> None:
    domains = ("development", "staging", "production")
    assert len({await here.ensure(of_project("p" * 63, domain)) for domain in domains}) == 3


async def test_namespace_without_label_is_not_used(here: Here, api: KubeClient) -> None:
    name = namespace_of(of_project("theirs"), here.template)
    await api.create(_NAMESPACES, {"metadata": {"name": name}})
    with pytest.raises(UnlabelledNamespaceError, match=f"kubectl label namespace {name}"):
        await here.ensure(of_project("theirs"))

    labels = {"volary.dev/managed": "true"}
    await api.patch(f"{_NAMESPACES}/{name}", {"metadata": {"labels": labels}})
    assert await here.ensure(of_project("theirs")) == name


async def test_namespace_of_agent_is_not_used_even_with_label(here: Here, api: KubeClient) -> None:
    own = namespace_of(of_project("agents"), here.template)
    labels = {"volary.dev/managed": "true"}
    await api.create(_NAMESPACES, {"metadata": {"name": own, "labels": labels}})
    with pytest.raises(ForeignNamespaceError, match="the agent's own"):
        await here.ensure(of_project("agents"), own=own)


async def test_namespace_of_other_org_is_not_used(here: Here) -> None:
    name = await here.ensure(of_project("same", org="acme"))
    with pytest.raises(ForeignNamespaceError, match=rf"{name} belongs to volary.dev/org=acme"):
        await here.ensure(of_project("same", org="bad"))


async def test_missing_namespace_without_permission_names_remedy(here: Here) -> None:
    with pytest.raises(NoNamespaceError, match=r"kubectl label namespace .* volary\.dev/managed"):
        await here.ensure(of_project("absent"), create=False)


async def test_namespace_is_read_once_for_many_attempts(here: Here, api: KubeClient) -> None:
    namespaces, assignment = here.open(), of_project("wide")
    name = namespace_of(assignment, here.template)
    await namespaces.ensure(name, assignment)
    await api.delete(f"{_NAMESPACES}/{name}")
    for _ in range(50):  # from its cache; else it would find none, and create it again
        await namespaces.ensure(name, assignment)
    namespaces.forget(name)
