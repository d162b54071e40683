"""
Verifies the namespaces of attempts and creates them when first needed, if that is allowed.

A namespace is used only if it carries the agent's label, is not the agent's own, and does not
belong to another org, project or domain. Without that rule the name of a project would choose
whose Secrets its tasks may mount: project "kube", domain "system".
"""

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime

from dataplane.agent.kube import client_limits
from dataplane.agent.kube.client import Kube
from dataplane.agent.kube.errors import ExistsError, KubeError, NotFoundError
from dataplane.agent.kube.names import as_label, template_fields
from dataplane.agent.kube.objects import (
    AGENT_LABEL,
    DOMAIN_LABEL,
    MANAGED_LABEL,
    NAMESPACE,
    ORG_LABEL,
    PROJECT_LABEL,
    Name,
    Object,
)
from shared.kit.clock import Clock
from shared.model.assignments import Assignment

POD_SECURITY = "pod-security.kubernetes.io/enforce"
POD_SECURITY_VERSION = f"{POD_SECURITY}-version"
POD_SECURITY_PIN = "v1.33"
"""Later versions of "baseline" refuse probes with a host, and the fence of a pod is one."""


class NoNamespaceError(Exception):
    """The namespace cannot be used; the message names the remedy."""


class UnlabelledNamespaceError(NoNamespaceError):
    """The namespace lacks the label for tasks; its owner can set it."""


class ForeignNamespaceError(NoNamespaceError):
    """The namespace is the agent's own, or belongs to another owner: no task may run in it."""


class Namespaces:
    def __init__(
        self,
        kube: Kube,
        *,
        own: str,
        template: str,
        create: bool,
        clock: Clock,
        pod_security: Callable[[str, str], str] = lambda _project, _domain: "baseline",
    ) -> None:
        """
        ``own`` is the agent's namespace; ``create``: whether the agent creates missing namespaces.

        ``pod_security`` returns the Pod Security level enforced in those that it creates, for
        the project and domain whose tasks run there ("": those of any).
        """
        self._kube = kube
        self._own = own
        self._fields = {"org", *template_fields(template)}
        self._create = create
        self._clock = clock
        self._pod_security = pod_security
        self._seen: dict[str, tuple[datetime, Object]] = {}
        self._reading = asyncio.Lock()

    def __repr__(self) -> str:
        return f"<Namespaces seen={len(self._seen)}>"

    async def ensure(self, name: str, assignment: Assignment) -> None:
        """
        Return once the namespace exists and the attempt may run in it.

        NoNamespaceError or a subclass if it may not; KubeError if the API server does not answer.
        """
        if name == self._own:
            raise ForeignNamespaceError(
                f"namespace {name} is the agent's own, and no task runs there; choose another"
                " name for the project, or another namespaces.template in the agent's chart"
            )
        owner = self._owner(assignment)
        async with self._reading:  # many attempts at once read it once
            found = await self._find(name, owner)
        _require_ours(name, found, owner)

    def forget(self, name: str) -> None:
        """Drop the cached namespace, so that it is read again: the API server says it is gone."""
        self._seen.pop(name, None)

    async def _find(self, name: str, owner: Mapping[str, str]) -> Object:
        at, known = self._seen.get(name, (None, None))
        now = self._clock.now()
        if at is not None and known is not None and now < at + client_limits.NAMESPACE_SEEN_FOR:
            return known
        found = await self._get(name)
        if found is None:
            found = await self._create_namespace(name, owner)
        self._seen[name] = (now, found)
        return found

    async def _get(self, name: str) -> Object | None:
        try:
            return await self._kube.get(NAMESPACE, Name("", name))
        except NotFoundError as error:
            if self._create:
                return None
            raise NoNamespaceError(
                f"namespace {name} does not exist; {_remedy(name)}, or let the agent create"
                " namespaces"
            ) from error
        except KubeError as error:
            if error.passing:
                raise
            raise NoNamespaceError(
                f"the agent may not read namespace {name} ({error.message}), so it does not use"
                " it; grant its service account get on namespaces"
            ) from error

    async def _create_namespace(self, name: str, owner: Mapping[str, str]) -> Object:
        labels = {
            MANAGED_LABEL: "true",
            AGENT_LABEL: self._own,
            **{key: as_label(value) for key, value in owner.items()},
            POD_SECURITY: self._pod_security(
                owner.get(PROJECT_LABEL, ""), owner.get(DOMAIN_LABEL, "")
            ),
            POD_SECURITY_VERSION: POD_SECURITY_PIN,
        }
        body = {"metadata": {"name": name, "labels": labels, "annotations": dict(owner)}}
        try:
            return await self._kube.create(NAMESPACE, body)
        except ExistsError:  # another replica, or a person, was faster
            return await self._kube.get(NAMESPACE, Name("", name))
        except KubeError as error:
            if error.passing:
                raise
            raise NoNamespaceError(
                f"namespace {name} does not exist and the agent could not create it "
                f"({error.message}); {_remedy(name)}"
            ) from error

    def _owner(self, assignment: Assignment) -> Mapping[str, str]:
        """Return the owner's annotations, for those fields that the name depends on."""
        run = assignment.key.run
        values = {
            "org": (ORG_LABEL, assignment.org),
            "project": (PROJECT_LABEL, run.project),
            "domain": (DOMAIN_LABEL, run.domain),
        }
        return dict(value for field, value in values.items() if field in self._fields)


def _require_ours(name: str, found: Object, owner: Mapping[str, str]) -> None:
    metadata = found["metadata"]
    if (metadata.get("labels") or {}).get(MANAGED_LABEL) != "true":
        raise UnlabelledNamespaceError(
            f"namespace {name} exists and is not labelled for tasks of Volary, so none runs there;"
            f" if nothing else is in it: kubectl label namespace {name} {MANAGED_LABEL}=true"
        )
    annotations = metadata.get("annotations") or {}
    for key, value in owner.items():
        if annotations.get(key, value) != value:
            raise ForeignNamespaceError(
                f"namespace {name} belongs to {key}={annotations[key]}, and this task is of"
                f" {value}; put {{org}}, {{project}} and {{domain}} into namespaces.template of the"
                " agent's chart, or remove the annotation if that owner is gone"
            )


def _remedy(name: str) -> str:
    return (
        f"create it: kubectl create namespace {name} && kubectl label namespace {name}"
        f" {MANAGED_LABEL}=true {POD_SECURITY}=baseline {POD_SECURITY_VERSION}={POD_SECURITY_PIN}"
    )
