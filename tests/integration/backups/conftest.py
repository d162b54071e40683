"""Fixtures: a migrated database with an org, and the commands ``volary backup`` and ``restore``."""

import asyncio
from dataclasses import dataclass

from click.testing import CliRunner

from controlplane.cli import main
from shared.blobs.options import S3Options
from tests.integration.store.conftest import store

__all__ = ["store"]


@dataclass(frozen=True, slots=True)
class Ran:
    code: int
    output: str


async def volary(*arguments: str, s3: S3Options | None = None, **environment: str) -> Ran:
    """Run a command of ``volary`` in a thread."""
    if s3 is not None and s3.secret_key is not None:
        environment |= {
            "VOLARY_S3_ENDPOINT": s3.endpoint,
            "VOLARY_S3_REGION": s3.region,
            "VOLARY_S3_ACCESS_KEY": s3.access_key,
            "VOLARY_S3_SECRET_KEY": s3.secret_key.reveal(),
            "VOLARY_S3_ALLOW_HTTP": "true",
            "VOLARY_S3_PATH_STYLE": "true",
        }
    ran = await asyncio.to_thread(CliRunner().invoke, main, [*arguments], env=environment)
    return Ran(ran.exit_code, ran.output)
