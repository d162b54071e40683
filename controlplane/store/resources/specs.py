"""Stores specs: each serialised message once, keyed by the digest of its content."""

import hashlib
from collections.abc import Collection, Iterable, Mapping

from controlplane.core.actions import Spec
from controlplane.store.database import OrgTx
from controlplane.store.statements import given, statement
from shared.model.ids import Digest

_PARSED = """
({of}.retries, {of}.backoff_base, {of}.backoff_factor, {of}.backoff_cap, {of}.max_runtime,
 {of}.queued_timeout, {of}.deadline, {of}.replaceable, {of}.produces_artifacts,
 {of}.cpu_millis, {of}.memory_bytes, {of}.accelerators)
"""

# This release parses the policy and the requests from the body: what an earlier release parsed
# otherwise is corrected. Rows that agree, nearly always all of them, are not locked.
_SAVE = statement(f"""
{given(
    digest="bytea", kind="smallint", body="bytea", retries="integer", backoff_base="interval",
    backoff_factor="double precision", backoff_cap="interval", max_runtime="interval",
    queued_timeout="interval", deadline="interval", replaceable="boolean",
    produces_artifacts="boolean", cpu_millis="integer", memory_bytes="bigint",
    accelerators="integer",
)}
, outdated AS (
    UPDATE specs s
    SET retries = n.retries, backoff_base = n.backoff_base, backoff_factor = n.backoff_factor,
        backoff_cap = n.backoff_cap, max_runtime = n.max_runtime,
        queued_timeout = n.queued_timeout, deadline = n.deadline, replaceable = n.replaceable,
        produces_artifacts = n.produces_artifacts, cpu_millis = n.cpu_millis,
        memory_bytes = n.memory_bytes, accelerators = n.accelerators
    FROM n
    WHERE s.org = n.org AND s.digest = n.digest
      AND {_PARSED.format(of="s")} IS DISTINCT FROM {_PARSED.format(of="n")}
)
INSERT INTO specs (org, digest, kind, body, retries, backoff_base, backoff_factor, backoff_cap,
                   max_runtime, queued_timeout, deadline, replaceable, produces_artifacts,
                   cpu_millis, memory_bytes, accelerators, created_at)
SELECT n.*, clock_timestamp() FROM n ON CONFLICT DO NOTHING
""")  # fmt: skip

_FIND = statement(f"""
{given(digest="bytea")}
SELECT s.digest, s.body FROM n JOIN specs s ON s.org = n.org AND s.digest = n.digest
""")


async def save_specs(tx: OrgTx, specs: Iterable[Spec]) -> None:
    """
    Insert the specs that are not stored yet; correct policies that were parsed differently.

    In the order of their digests, so that concurrent saves do not deadlock.
    """
    required = sorted({spec.digest: spec for spec in specs}.items())
    if not required:
        return
    made = [spec for _, spec in required]
    await tx.execute(
        _SAVE,
        {
            "digest": [spec.digest for spec in made],
            "kind": [spec.kind.value for spec in made],
            "body": [spec.body for spec in made],
            "retries": [spec.policy.retries for spec in made],
            "backoff_base": [spec.policy.backoff_base for spec in made],
            "backoff_factor": [spec.policy.backoff_factor for spec in made],
            "backoff_cap": [spec.policy.backoff_cap for spec in made],
            "max_runtime": [spec.policy.max_runtime for spec in made],
            "queued_timeout": [spec.policy.queued_timeout for spec in made],
            "deadline": [spec.policy.deadline for spec in made],
            "replaceable": [spec.policy.replaceable for spec in made],
            "produces_artifacts": [spec.produces_artifacts for spec in made],
            "cpu_millis": [spec.requests.cpu_millis for spec in made],
            "memory_bytes": [spec.requests.memory_bytes for spec in made],
            "accelerators": [spec.requests.accelerators for spec in made],
        },
    )


async def find_specs(tx: OrgTx, digests: Collection[Digest]) -> Mapping[Digest, bytes]:
    """Return the bodies of the specs that exist."""
    rows = await tx.rows(_FIND, {"digest": list(digests)})
    return {Digest(row.digest): row.body for row in rows}


def digest_of(body: bytes) -> Digest:
    """Return the digest by which a serialised message is stored."""
    return Digest(hashlib.sha256(body).digest())
