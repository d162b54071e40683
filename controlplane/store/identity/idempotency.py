"""
Makes creates idempotent: the id that a request made is found by the caller's request id.

Request ids of different callers are different: no caller learns of, or blocks, another's.
"""

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam
from sqlalchemy.dialects.postgresql import JSONB

from controlplane.core.callers import Subject
from controlplane.core.errors import AlreadyExistsError, InvalidError
from controlplane.store.database import OrgTx
from controlplane.store.statements import statement

KEPT = timedelta(days=1)
_MAX_REQUEST_ID = 200

_CLAIM = statement("""
INSERT INTO idempotent_requests (org, request_id, method, request_digest, response, created_at)
VALUES (:org, :request_id, :method, :digest, :response, :now)
ON CONFLICT (org, request_id) DO NOTHING RETURNING request_id
""").bindparams(bindparam("response", type_=JSONB))
_FIND = statement("""
SELECT method, request_digest, response FROM idempotent_requests
WHERE org = :org AND request_id = :request_id
""")
_PRUNE = statement("DELETE FROM idempotent_requests WHERE org = :org AND created_at < :before_at")


async def claim_request(
    tx: OrgTx,
    subject: Subject,
    request_id: str,
    method: str,
    request: Mapping[str, object],
    *,
    made: UUID,
    now: datetime,
) -> UUID | None:
    """
    Note that this request of ``subject`` makes ``made``; return None, or what it made before.

    A request that runs at the same time is waited for. "" claims nothing. AlreadyExistsError:
    the request id was used for another request.
    """
    if not request_id:
        return None
    if len(request_id) > _MAX_REQUEST_ID or not request_id.isprintable():
        raise InvalidError(f"request_id: use at most {_MAX_REQUEST_ID} printable characters")
    await tx.execute(_PRUNE, {"before_at": now - KEPT})
    key = f"{subject} {request_id}"
    content = json.dumps(request, sort_keys=True, default=str).encode()
    digest = hashlib.sha256(content).digest()
    claimed = await tx.execute(
        _CLAIM,
        {
            "request_id": key,
            "method": method,
            "digest": digest,
            "response": {"id": str(made)},
            "now": now,
        },
    )
    if claimed.first() is not None:
        return None
    found: Any = (await tx.execute(_FIND, {"request_id": key})).one()
    if (found.method, found.request_digest) != (method, digest):
        raise AlreadyExistsError(
            f"request id {request_id} was used for another request; choose a new one"
        )
    return UUID(found.response["id"])
