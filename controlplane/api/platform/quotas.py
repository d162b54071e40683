"""QuotaService: limits of the org and of its projects."""

from controlplane.api.platform.conventions import ListCall, parse_mask, parse_version
from controlplane.core.callers import Caller
from controlplane.core.quotas import Limit, QuotaStatus
from controlplane.usecases.quotas import Quotas
from shared.idl.platform.v1 import quota_pb2 as pb


class QuotaService:
    def __init__(self, quotas: Quotas) -> None:
        self._quotas = quotas

    async def get_quota(self, caller: Caller, request: pb.GetQuotaRequest) -> pb.GetQuotaResponse:
        return pb.GetQuotaResponse(quota=_render(await self._quotas.get(caller, request.project)))

    async def list_quotas(
        self, caller: Caller, request: pb.ListQuotasRequest
    ) -> pb.ListQuotasResponse:
        call = ListCall(caller, request)
        found, after = await self._quotas.list(
            caller, limit=call.listing.limit, after=call.listing.token
        )
        return pb.ListQuotasResponse(
            quotas=map(_render, found), next_page_token=call.next_token(after)
        )

    async def update_quota(
        self, caller: Caller, request: pb.UpdateQuotaRequest
    ) -> pb.UpdateQuotaResponse:
        quota = request.quota
        mask = parse_mask(request.update_mask, [str(limit) for limit in Limit])
        changed = await self._quotas.update(
            caller,
            quota.project,
            {Limit(name): getattr(quota, name) for name in mask},
            version=parse_version(quota.version),
        )
        return pb.UpdateQuotaResponse(quota=_render(changed))


def _render(status: QuotaStatus) -> pb.Quota:
    quota = status.quota
    return pb.Quota(
        project=quota.project,
        actions_per_day=quota.actions_per_day,
        triggers=quota.triggers,
        requests_per_second=quota.requests_per_second,
        version=quota.version,
        use=pb.QuotaUse(actions_today=status.actions_today, triggers=status.triggers),
    )
