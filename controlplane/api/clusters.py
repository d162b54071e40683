"""ClusterService: where a client should go for what it is about to do."""

from flyteidl2.cluster.payload_pb2 import SelectClusterRequest, SelectClusterResponse

from controlplane.core.callers import Caller
from controlplane.core.errors import UnbuiltError

_UNBUILT = frozenset({SelectClusterRequest.OPERATION_UPLOAD_TRIGGER})


class ClusterService:
    """No cluster is reached directly: everything is done here."""

    async def select_cluster(
        self, _caller: Caller, request: SelectClusterRequest
    ) -> SelectClusterResponse:
        """Answer with no endpoint, which the SDK takes as "stay"."""
        if request.operation in _UNBUILT:
            # The SDK sends a trigger's inputs inside the trigger then.
            raise UnbuiltError("triggers take their inputs inline in this release")
        return SelectClusterResponse()
