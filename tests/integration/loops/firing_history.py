"""Reads the firings of triggers by the platform API."""

from collections.abc import Sequence
from typing import Any

from google.protobuf.message import Message

from shared.idl.platform.v1 import trigger_pb2 as pb
from tests.integration.api.client import DOMAIN, PROJECT, ApiUnderTest
from tests.integration.api.test_scopes import call as call_rpc


async def call(api: ApiUnderTest, rpc: str, request: Message) -> Any:
    return await call_rpc(api, f"platform.TriggerService/{rpc}", request)


async def firings(
    api: ApiUnderTest, name: str = "nightly", outcome: str = ""
) -> Sequence[pb.Firing]:
    """Return the firings of a trigger, the newest first."""
    request = pb.ListFiringsRequest(
        project=PROJECT, domain=DOMAIN, task_name="env.main", name=name, outcome=outcome
    )
    found: Sequence[pb.Firing] = (await call(api, "ListFirings", request)).firings
    return found


def short(firing: pb.Firing) -> tuple[str, str, int]:
    return firing.outcome, firing.reason, firing.instants
