"""AuditService: lists and exports the audit log, and checks its chain of hashes."""

from controlplane.api.platform.conventions import ListCall, equals, parse_time, render_time
from controlplane.core.audit import AuditRecord
from controlplane.core.callers import Caller
from controlplane.core.errors import InvalidError
from controlplane.core.lists import Filter, Test
from controlplane.usecases.identity.audit import MAX_EXPORTED, Audit
from shared.idl.platform.v1 import audit_pb2 as pb

_FIELDS = ("actor", "action", "target", "outcome")


class AuditService:
    def __init__(self, audit: Audit) -> None:
        self._audit = audit

    async def list_audit_records(
        self, caller: Caller, request: pb.ListAuditRecordsRequest
    ) -> pb.ListAuditRecordsResponse:
        filters = [equals(field, getattr(request, field)) for field in _FIELDS]
        for field, test in (("since", Test.GREATER_OR_EQUAL), ("until", Test.LESS)):
            if request.HasField(field):
                at = parse_time(getattr(request, field), field)
                filters.append(Filter("at", test, [at.isoformat()]))
        call = ListCall(caller, request, filters)
        page = await self._audit.list(caller, call.listing)
        return pb.ListAuditRecordsResponse(
            records=map(_render, page.rows), next_page_token=call.next_token(page.token)
        )

    async def verify_audit_log(
        self, caller: Caller, request: pb.VerifyAuditLogRequest
    ) -> pb.VerifyAuditLogResponse:
        if request.after < 0:
            raise InvalidError("after: must not be negative; 0 begins at the first record")
        checked = await self._audit.verify_part(caller, after=request.after)
        answer = pb.VerifyAuditLogResponse(checked_to=checked.checked_to, complete=checked.complete)
        if checked.broken is not None:
            answer.broken.number = checked.broken.number
            answer.broken.reason = checked.broken.reason
        return answer

    async def export_audit_log(
        self, caller: Caller, request: pb.ExportAuditLogRequest
    ) -> pb.ExportAuditLogResponse:
        if request.after < 0:
            raise InvalidError("after: must not be negative; 0 exports all records")
        if request.page_size < 0:
            raise InvalidError(f"page_size: must not be negative, is {request.page_size}")
        page = await self._audit.export_page(
            caller, after=request.after, limit=request.page_size or MAX_EXPORTED
        )
        return pb.ExportAuditLogResponse(
            org=caller.org, records=map(_render, page.records), complete=page.complete
        )


def _render(record: AuditRecord) -> pb.AuditRecord:
    event = record.event
    return pb.AuditRecord(
        number=record.number,
        at=render_time(record.at),
        actor=event.actor,
        action=event.action,
        target=event.target,
        outcome=event.outcome,
        peer=event.peer,
        request_id=event.request_id,
        detail=event.detail,
        hash=record.hash.hex(),
        previous_hash=record.previous_hash.hex(),
    )
