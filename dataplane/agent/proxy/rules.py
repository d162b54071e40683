"""
The RPCs that the proxy forwards: the rows of ``shared.model.task_calls``, as flyteidl2 describes them.

RPCs that have no row are rejected. The org of a call is not checked: it comes from the
attempt's credential, whatever a message contains.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from flyteidl2.actions import actions_service_pb2
from flyteidl2.artifact import artifact_service_pb2
from flyteidl2.auth import auth_service_pb2, identity_pb2
from flyteidl2.cluster import service_pb2 as cluster_service_pb2
from flyteidl2.dataproxy import dataproxy_service_pb2
from flyteidl2.imagebuilder import service_pb2 as image_service_pb2
from flyteidl2.project import project_service_pb2
from flyteidl2.task import task_service_pb2
from flyteidl2.workflow import queue_service_pb2, run_service_pb2, state_service_pb2
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from shared.model.task_calls import RULES, Rule

_MODULES = (
    actions_service_pb2,
    artifact_service_pb2,
    auth_service_pb2,
    cluster_service_pb2,
    dataproxy_service_pb2,
    identity_pb2,
    image_service_pb2,
    project_service_pb2,
    queue_service_pb2,
    run_service_pb2,
    state_service_pb2,
    task_service_pb2,
)


@dataclass(frozen=True, slots=True)
class Rpc:
    """An RPC that may be called, as flyteidl2 describes it."""

    name: str  # package.Service/Method
    rule: Rule
    request: type[Message]
    is_stream: bool


def _describe() -> Mapping[str, Rpc]:
    """Look up each row in flyteidl2; KeyError for an unknown RPC."""
    services = {
        service.full_name: service
        for module in _MODULES
        for service in module.DESCRIPTOR.services_by_name.values()
    }
    rpcs: dict[str, Rpc] = {}
    for name, rule in RULES.items():
        service, _, method_name = name.partition("/")
        method = services[service].methods_by_name[method_name]
        rpcs[name] = Rpc(
            name=name,
            rule=rule,
            request=GetMessageClass(method.input_type),
            is_stream=bool(method.server_streaming),
        )
    return rpcs


RPCS: Mapping[str, Rpc] = _describe()
