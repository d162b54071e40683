"""Parses and renders messages of the data proxy."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

from flyteidl2.common.run_pb2 import OffloadedInputData
from flyteidl2.core.literals_pb2 import Literal
from flyteidl2.dataproxy.dataproxy_service_pb2 import (
    CreateDownloadLinkResponse,
    CreateUploadLocationRequest,
    CreateUploadLocationResponse,
    GetActionDataResponse,
    PreSignedURLs,
    UploadInputsRequest,
    UploadInputsResponse,
)
from flyteidl2.task.common_pb2 import Inputs, NamedLiteral, Outputs
from flyteidl2.task.task_definition_pb2 import TaskSpec
from google.protobuf.message import DecodeError

from controlplane.api.convert.cache_keys import hash_inputs, hash_with_context
from controlplane.api.convert.environments import list_pod_containers
from controlplane.api.convert.input_artifacts import list_input_artifacts
from controlplane.api.convert.keys import parse_project, parse_run
from controlplane.api.convert.strings import parse_uri
from controlplane.api.convert.timestamps import parse_duration
from controlplane.core import names
from controlplane.core.artifacts import ArtifactKey
from controlplane.core.errors import InvalidError, NotReadyError
from controlplane.core.runs import InputsUpload
from controlplane.usecases.data import ActionData, Upload, UploadLocation
from controlplane.usecases.signed_links import Link
from shared.model.ids import ActionKey

_BUNDLE_OPTIONS = frozenset({"--tgz", "--pkl"})  # of the SDK's entry point
_ONLY_OUTPUT = "o0"  # the name that the SDK gives a single output

Payload = TypeVar("Payload", Inputs, Outputs)


@dataclass(frozen=True, slots=True)
class PreparedInputs:
    """Inputs as the task will read them, and their hash for the cache."""

    body: bytes
    hash: str
    artifacts: Sequence[ArtifactKey]  # versions that they name


def parse_upload(request: CreateUploadLocationRequest) -> Upload:
    return Upload(
        project=names.parse_project(request.project),
        domain=names.parse_domain(request.domain),
        md5=request.content_md5,
        filename=parse_uri(request.filename, "filename"),
        root=parse_uri(request.filename_root, "filename_root"),
        length=request.content_length,
        expires_in=parse_duration(request.expires_in, "expires_in"),
    )


def parse_inputs_upload(request: UploadInputsRequest, prepared: PreparedInputs) -> InputsUpload:
    if request.WhichOneof("id") == "run_id":
        run = parse_run(request.run_id)
        project, domain = run.project, run.domain
    else:
        project, domain = parse_project(request.project_id)
    return InputsUpload(
        project=project,
        domain=domain,
        body=prepared.body,
        base=parse_uri(request.base_dir, "base_dir"),
        artifacts=prepared.artifacts,
    )


def prepare_inputs(given: Inputs, spec: TaskSpec) -> PreparedInputs:
    """
    Fill in the task's default inputs, and compute the hash that is its cache key's input part.

    The hash is the one that the SDK computes for a child action with the same inputs, which are in
    the order of the task's interface; lists within lists are told apart, which the SDK does not.
    """
    _check_literals(given.literals)
    inputs = Inputs()
    inputs.CopyFrom(given)
    named = {literal.name for literal in inputs.literals}
    for default in spec.default_inputs:
        if default.name not in named and default.parameter.HasField("default"):
            inputs.literals.add(name=default.name, value=default.parameter.default)
    template = spec.task_template
    declared = {entry.key: at for at, entry in enumerate(template.interface.inputs.variables)}
    ordered = sorted(
        inputs.literals,
        key=lambda literal: (declared.get(literal.name, len(declared)), literal.name),
    )
    ignored = set(template.metadata.cache_ignore_input_vars)
    return PreparedInputs(
        body=inputs.SerializeToString(deterministic=True),
        hash=hash_with_context(inputs, hash_inputs(ordered, ignored), ignored),
        artifacts=list_input_artifacts(literal.value for literal in inputs.literals),
    )


def code_bundle_of(spec: bytes) -> str:
    """Return the URI of the code that a TaskSpec runs; "" if all code is in the image."""
    return str(TaskSpec.FromString(spec).task_template.metadata.code_bundle_uri)


def parse_code_bundle(task: TaskSpec) -> str:
    """Return the address of the code that the SDK in a task will fetch; "" if it fetches none."""
    for args in list_arguments(task):
        for option, address in pairwise(args):
            if option in _BUNDLE_OPTIONS:
                return str(address)
    return str(task.task_template.metadata.code_bundle_uri)


def list_arguments(task: TaskSpec) -> Sequence[Sequence[str]]:
    """List the arguments of each process of a task."""
    template = task.task_template
    pod = [args for _, _, args in list_pod_containers(template.k8s_pod.pod_spec)]
    return [template.container.args, *pod]


def has_outputs(spec: bytes) -> bool:
    """Return whether a TaskSpec declares any outputs."""
    return bool(TaskSpec.FromString(spec).task_template.interface.outputs.variables)


def render_upload(location: UploadLocation) -> CreateUploadLocationResponse:
    return CreateUploadLocationResponse(
        signed_url=location.signed_url,
        native_url=location.native_url,
        expires_at=location.expires_at,
        headers=location.headers,
    )


def render_uploaded_inputs(uri: str, prepared: PreparedInputs) -> UploadInputsResponse:
    return UploadInputsResponse(
        offloaded_input_data=OffloadedInputData(uri=uri, inputs_hash=prepared.hash)
    )


def render_link(link: Link) -> CreateDownloadLinkResponse:
    return CreateDownloadLinkResponse(
        pre_signed_urls=PreSignedURLs(signed_url=[link.signed_url], expires_at=link.expires_at)
    )


def render_action_data(key: ActionKey, data: ActionData) -> GetActionDataResponse:
    """Render an action's inputs and outputs; NotReadyError if a stored file is no such message."""
    response = GetActionDataResponse(inputs_uri=data.inputs_uri, outputs_uri=data.outputs_uri)
    if data.inputs is not None:
        response.inputs.CopyFrom(
            _parse(Inputs, data.inputs, f"inputs of action {key} at {data.inputs_uri}")
        )
    if data.outputs is not None:
        response.outputs.CopyFrom(
            _parse(Outputs, data.outputs, f"outputs of action {key} at {data.outputs_uri}")
        )
    elif data.value:
        response.outputs.literals.add(name=_ONLY_OUTPUT, value=Literal.FromString(data.value))
    return response


def _parse(kind: type[Payload], body: bytes, what: str) -> Payload:
    try:
        return kind.FromString(body)
    except DecodeError as error:
        raise NotReadyError(
            f"the {what} are not a {kind.DESCRIPTOR.full_name}; the program that wrote them did not"
            " finish, or is not a Flyte task"
        ) from error


def _check_literals(literals: Sequence[NamedLiteral]) -> None:
    seen: set[str] = set()
    for position, literal in enumerate(literals):
        if not literal.name:
            raise InvalidError(f"inputs.literals[{position}] has no name")
        if literal.name in seen:
            raise InvalidError(f"inputs.literals has {literal.name!r} twice")
        if literal.value.WhichOneof("value") is None:
            raise InvalidError(f"inputs.literals has no value for {literal.name!r}")
        seen.add(literal.name)
