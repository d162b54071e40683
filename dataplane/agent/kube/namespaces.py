"""The namespaces in which attempts run: made when they are first needed, if that is allowed."""

from dataplane.agent.kube.client import Kube
from dataplane.agent.kube.errors import ExistsError, KubeError, NotFoundError
from dataplane.agent.kube.objects import MANAGED_LABEL, NAMESPACE, Name


class NoNamespaceError(Exception):
    """There is no such namespace; the message names the remedy."""


class Namespaces:
    def __init__(self, kube: Kube, *, create: bool) -> None:
        """``create``: whether the agent may make those that are missing."""
        self._kube = kube
        self._create = create

    async def ensure(self, name: str) -> None:
        """See to it that the namespace is there; NoNamespaceError if it is not and cannot be."""
        if not self._create:
            await self._require(name)
            return
        try:
            await self._kube.create(
                NAMESPACE, {"metadata": {"name": name, "labels": {MANAGED_LABEL: "true"}}}
            )
        except ExistsError:
            return
        except KubeError as error:
            if error.passing:
                raise
            raise NoNamespaceError(
                f"namespace {name} does not exist and the agent could not create it "
                f"({error.message}); create it: kubectl create namespace {name}"
            ) from error

    async def _require(self, name: str) -> None:
        try:
            await self._kube.get(NAMESPACE, Name("", name))
        except NotFoundError as error:
            raise NoNamespaceError(
                f"namespace {name} does not exist; create it: kubectl create namespace {name}, "
                "or let the agent create namespaces"
            ) from error
