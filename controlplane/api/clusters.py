"""ClusterService: tells clients which endpoint to use for an operation."""

from flyteidl2.cluster.payload_pb2 import SelectClusterRequest, SelectClusterResponse

from controlplane.core.callers import Caller
from controlplane.core.errors import UnbuiltError

_UNBUILT = frozenset({SelectClusterRequest.OPERATION_UPLOAD_TRIGGER})


class ClusterService:
    """Serves every operation at this endpoint; clients never connect to a cluster directly."""

    async def select_cluster(
        self, _caller: Caller, request: SelectClusterRequest
    ) -> SelectClusterResponse:
        """Return no endpoint, which the SDK takes as "stay on this one"."""
        if request.operation in _UNBUILT:
            # Refused, so that the SDK sends a trigger's inputs inside the trigger.
            raise UnbuiltError("inputs of a trigger are sent with it, not uploaded before")
        return SelectClusterResponse()
