"""RPCs the proxy answers locally: SelectCluster, auth metadata."""

from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web
from flyteidl2.auth.auth_service_pb2 import (
    GetOAuth2MetadataResponse,
    GetPublicClientConfigResponse,
)
from flyteidl2.cluster.payload_pb2 import SelectClusterRequest, SelectClusterResponse
from google.protobuf.message import Message

from dataplane.agent.proxy import proxy_limits
from dataplane.agent.proxy.bodies import Bodies
from dataplane.agent.proxy.errors import Code, PodCallRefusedError
from dataplane.agent.proxy.request_parsing import parse
from dataplane.agent.proxy.rules import Rpc
from dataplane.agent.proxy.upstream import passed_on


def _metadata(_: Any) -> GetOAuth2MetadataResponse:
    """Return no login endpoint: the token is in the pod already."""
    return GetOAuth2MetadataResponse()


def _client_config(_: Any) -> GetPublicClientConfigResponse:
    """Return the authorization header's name; the SDK uses the field even if it is empty."""
    return GetPublicClientConfigResponse(authorization_metadata_key="authorization")


def _cluster(request: SelectClusterRequest) -> SelectClusterResponse:
    """Return no endpoint, which the SDK reads as "stay": a pod can reach only this proxy."""
    if request.operation == SelectClusterRequest.OPERATION_UPLOAD_TRIGGER:
        raise PodCallRefusedError(
            Code.UNIMPLEMENTED, "a task may not deploy triggers; deploy them from outside of a task"
        )
    return SelectClusterResponse()


_ANSWERS: Mapping[str, Callable[[Any], Message]] = {
    "flyteidl2.auth.AuthMetadataService/GetOAuth2Metadata": _metadata,
    "flyteidl2.auth.AuthMetadataService/GetPublicClientConfig": _client_config,
    "flyteidl2.cluster.ClusterService/SelectCluster": _cluster,
}


async def answer(rpc: Rpc, request: web.Request, bodies: Bodies) -> web.Response:
    async with bodies.read(request, proxy_limits.OUR_BYTES) as body:
        request_message = parse(rpc, body, passed_on(request.headers.items()))
    fields = _ANSWERS[rpc.name](request_message.message)
    return web.Response(body=fields.SerializeToString(), content_type="application/proto")
