"""Builds HTTP requests to the API server: path and query for a verb on a kind."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from dataplane.agent.kube.objects import Kind, Name

JSON = "application/json"
MERGE = "application/merge-patch+json"
METADATA_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    verb: str  # Kubernetes' verb, for metrics
    method: str
    kind: Kind
    name: Name  # an empty name means all in the namespace
    part: str = ""  # a subresource: "status", "log"
    query: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None
    content_type: str = JSON
    accept: str = JSON
    at: str = ""  # a path that is no object, such as "/version", instead of kind and name

    @property
    def resource(self) -> str:
        """Resource as roles and metrics name it: "pods", "pods/status"."""
        if self.at:
            return self.at
        return f"{self.kind.plural}/{self.part}" if self.part else self.kind.plural

    @property
    def path(self) -> str:
        if self.at:
            return self.at
        parts = [self.kind.base.strip("/")]
        if self.name.namespace:
            parts += ["namespaces", quote(self.name.namespace, safe="")]
        parts.append(self.kind.plural)
        if self.name.name:
            parts.append(quote(self.name.name, safe=""))
        if self.part:
            parts.append(self.part)
        return "/" + "/".join(parts)


def selectors(labels: str, fields: str) -> dict[str, str]:
    query = {"labelSelector": labels, "fieldSelector": fields}
    return {name: value for name, value in query.items() if value}
