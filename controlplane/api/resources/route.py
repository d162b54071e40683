"""Description of one route of the resource API; ``routes`` is the table of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from controlplane.api.resources.fields import ListFields
from controlplane.core.relations import RelationType

BASE = "/api/v1/orgs/{org}/"
IN_DOMAIN = "projects/{project}/domains/{domain}/"
OF_TASK = IN_DOMAIN + "tasks/{task}"
OF_RUN = IN_DOMAIN + "runs/{run}"


@dataclass(frozen=True, slots=True)
class Listed:
    """
    How a list takes ``filters``, ``sort_by.key``, ``sort_by.direction``, ``limit`` and ``token``.

    ``equals``: query parameters that are filters too, with the field that equals their value.
    ``hides``: a field whose rows with the value true are left out, unless the request names it.
    """

    fields: ListFields
    equals: Mapping[str, str] = field(default_factory=dict)
    hides: str = ""
    is_text: bool = False
    """The RPC takes filters as text, and all five on the request itself."""


@dataclass(frozen=True, slots=True)
class PageOnly:
    """A list that takes ``limit`` and ``token`` only, on the request itself."""


@dataclass(frozen=True, slots=True)
class Header:
    """A header of the request that selects a route, and the field of the message that it fills."""

    name: str
    field: str
    is_etag: bool = False
    """It holds a version, in quotes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """
    One route; of several with the same method and path, the first whose condition holds answers.

    ``header``, ``flag``: the condition: the request has the header, or the query ``flag=true``.

    ``fills``: fields of the message, as dotted paths, by the parameters of the path; ``also``: more
    fields, of which those of a body need nothing left out; ``query``: fields by the parameters of the
    query.
    ``answer``: the field of the response that is the answer, "" for all of it; ``only``: the
    fields of it that are written, if not all. Of a repeated field, the last one is the answer.

    ``body``: the field of the message that the body is, "" for all of it; None: there is no body.
    ``present``: a field that is there even if nothing in it is filled.
    ``is_create``: the answer is 201. ``has_etag``: the answer's version is its ``etag``.
    ``copies``: the run is created from the one that ``run_spec.relation`` names, in this relation.
    ``renders_values``: the answer is an object with inputs and outputs as plain values.
    ``takes_values``: the body is an object with the task's inputs.
    ``lines``: the RPC streams, and each message of this dotted path of its answers is a line.
    """

    method: str
    path: str
    rpc: str
    about: str
    fills: Mapping[str, str]
    also: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    listed: Listed | PageOnly | None = None
    answer: str = ""
    only: Sequence[str] = ()
    header: Header | None = None
    flag: str = ""
    body: str | None = None
    present: str = ""
    is_create: bool = False
    has_etag: bool = False
    copies: RelationType | None = None
    renders_values: bool = False
    takes_values: bool = False
    lines: str = ""

    @property
    def has_body(self) -> bool:
        return self.takes_values or self.body is not None
