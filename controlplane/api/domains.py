"""DomainService: lists, creates, renames and deletes the domains that all projects have."""

from flyteidl2.org.domain_definition_pb2 import Domain as DomainMessage
from flyteidl2.org.domain_service_pb2 import (
    CreateDomainRequest,
    CreateDomainResponse,
    DeleteDomainRequest,
    DeleteDomainResponse,
    GetDomainRequest,
    GetDomainResponse,
    ListDomainsRequest,
    ListDomainsResponse,
    UpdateDomainRequest,
    UpdateDomainResponse,
)

from controlplane.api.convert.strings import parse_text
from controlplane.core.callers import Caller
from controlplane.core.domains import Domain
from controlplane.core.names import parse_domain
from controlplane.usecases.domains import Domains
from shared.model.ids import OrgName

_MAX_NAME = 255


class DomainService:
    """``include_settings`` of a request has no effect: an answer has no field for them."""

    def __init__(self, domains: Domains) -> None:
        self._domains = domains

    async def list_domains(
        self, caller: Caller, _request: ListDomainsRequest
    ) -> ListDomainsResponse:
        domains = await self._domains.list(caller)
        return ListDomainsResponse(domains=[_render(caller.org, each) for each in domains])

    async def get_domain(self, caller: Caller, request: GetDomainRequest) -> GetDomainResponse:
        domain = await self._domains.get(caller, parse_domain(request.id))
        return GetDomainResponse(domain=_render(caller.org, domain))

    async def create_domain(
        self, caller: Caller, request: CreateDomainRequest
    ) -> CreateDomainResponse:
        id_, name = parse_domain(request.id), _parse_name(request)
        domain = await self._domains.create(caller, id_, name)
        return CreateDomainResponse(domain=_render(caller.org, domain))

    async def update_domain(
        self, caller: Caller, request: UpdateDomainRequest
    ) -> UpdateDomainResponse:
        id_, name = parse_domain(request.id), _parse_name(request)
        domain = await self._domains.rename(caller, id_, name)
        return UpdateDomainResponse(domain=_render(caller.org, domain))

    async def delete_domain(
        self, caller: Caller, request: DeleteDomainRequest
    ) -> DeleteDomainResponse:
        await self._domains.delete(caller, parse_domain(request.id))
        return DeleteDomainResponse()


def _parse_name(request: CreateDomainRequest | UpdateDomainRequest) -> str:
    return parse_text(request.friendly_name, "friendly_name", most=_MAX_NAME) or request.id


def _render(org: OrgName, domain: Domain) -> DomainMessage:
    return DomainMessage(
        id=domain.id, org=org, friendly_name=domain.name, created_at=domain.created_at
    )
