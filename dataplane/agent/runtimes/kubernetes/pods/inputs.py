"""
Fill in ``{{.inputs.<name>}}`` in a raw container's arguments with the input's value.

Only the runtime can read inputs.pb, and few tasks need it: it calls ``needs_inputs``, and
passes the bytes it read to ``with_inputs``.
"""

import re
from dataclasses import replace

from flyteidl2.core import literals_pb2, tasks_pb2
from flyteidl2.task import common_pb2
from google.protobuf import json_format
from google.protobuf.message import DecodeError

from dataplane.agent.runtimes.kubernetes.pods.environment import literal
from dataplane.agent.runtimes.protocol import Job
from dataplane.agent.runtimes.tasks import BadSpecError
from shared.kit.number_format import render_duration, render_float

_INPUT = re.compile(r"\{\{\s*\.inputs\.([^}\s]+)\s*\}\}", re.IGNORECASE)
_MAX_BYTES = 128 * 1024  # of one argument, Linux's limit


def needs_inputs(job: Job) -> bool:
    """Return whether arguments refer to inputs, so that inputs.pb has to be read first."""
    template = job.task.template
    if template.WhichOneof("target") == "k8s_pod":
        return _INPUT.search(json_format.MessageToJson(template.k8s_pod.pod_spec)) is not None
    return any(_INPUT.search(arg) for arg in _words(template.container))


def with_inputs(job: Job, body: bytes) -> Job:
    """
    Return the job with its arguments filled in from ``body``, the bytes of inputs.pb.

    Raises BadSpecError for an input that is missing, or that has no text form.
    """
    try:
        literals = {each.name: each.value for each in common_pb2.Inputs.FromString(body).literals}
    except DecodeError as error:
        raise BadSpecError("inputs.pb is no flyteidl2.task.Inputs") from error

    def fill(found: re.Match[str]) -> str:
        if found[1] not in literals:
            raise BadSpecError(
                f"an argument refers to the input {found[1]!r}, which does not exist; correct its name"
            )
        text = render(literals[found[1]], found[1])
        if len(text.encode()) > _MAX_BYTES:
            raise BadSpecError(
                f"the input {found[1]!r} is too long for an argument; read its file instead"
            )
        return text

    def quoted(found: re.Match[str]) -> str:
        return literal(fill(found))

    template = tasks_pb2.TaskTemplate()
    template.CopyFrom(job.task.template)
    if template.WhichOneof("target") == "k8s_pod":
        for container in template.k8s_pod.pod_spec["containers"]:
            for name in ("command", "args"):
                if name in container:
                    container[name] = [_INPUT.sub(quoted, word) for word in container[name]]
    else:
        container = template.container
        container.command[:] = [_INPUT.sub(fill, word) for word in container.command]
        container.args[:] = [_INPUT.sub(fill, word) for word in container.args]
    return replace(job, task=replace(job.task, template=template))


def render(literal: literals_pb2.Literal, name: str) -> str:
    """Return the text form of a value, as Flyte writes it."""
    match literal.WhichOneof("value"):
        case "collection":
            return f"[{','.join(render(each, name) for each in literal.collection.literals)}]"
        case "scalar":
            scalar = literal.scalar
        case _:
            raise _without_text(name)
    match scalar.WhichOneof("value"):
        case "primitive":
            return _render_primitive(scalar.primitive)
        case "blob":
            return str(scalar.blob.uri)
        case "structured_dataset":
            return str(scalar.structured_dataset.uri)
        case "none_type":
            return ""
        case "generic":
            return json_format.MessageToJson(scalar.generic, indent=None)
        case "union":
            return render(scalar.union.value, name)
        case _:
            raise _without_text(name)


def _render_primitive(primitive: literals_pb2.Primitive) -> str:
    match primitive.WhichOneof("value"):
        case "boolean":
            return "true" if primitive.boolean else "false"
        case "datetime":
            return str(primitive.datetime.ToJsonString())
        case "duration":
            return render_duration(primitive.duration.ToNanoseconds())
        case "float_value":
            return render_float(primitive.float_value)
        case "integer":
            return str(primitive.integer)
        case _:
            return str(primitive.string_value)


def _words(container: tasks_pb2.Container) -> list[str]:
    return [*container.command, *container.args]


def _without_text(name: str) -> BadSpecError:
    return BadSpecError(
        f"the input {name!r} is not a string, number, file or list of these, so an argument cannot"
        " hold it; read its file below the input directory instead"
    )
