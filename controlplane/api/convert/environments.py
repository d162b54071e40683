"""
Refuses environment variables and arguments that the kernel would not start a process with.

The kernel takes ``NAME=value`` and arguments as C strings of at most 128 KiB each; all of
them together must fit a quarter of the stack's limit, 2 MiB by default. If the runtime met
them first, the error would be "Argument list too long" or worse, after the attempt has begun.
"""

from collections.abc import Iterator, Sequence

from flyteidl2.core.tasks_pb2 import TaskTemplate
from flyteidl2.task.run_pb2 import RunSpec
from google.protobuf.struct_pb2 import Struct, Value

from controlplane.core.errors import InvalidError

MAX_STRING_BYTES = 128 * 1024
"""MAX_ARG_STRLEN of Linux, its final NUL included."""
MAX_TOTAL_BYTES = 1024 * 1024
"""Leaves as much again for the variables that the runtime adds and for the pointers."""

_REMEDY = "pass large values as an input or a file"
_SHOWN = 100

_Variables = Sequence[tuple[str, str]]


def check_task(template: TaskTemplate) -> None:
    """Raise InvalidError for the first variable or argument that a process cannot be given."""
    container = template.container
    _check(
        [(variable.key, variable.value) for variable in container.env],
        [*container.command, *container.args],
        "task_template.container",
    )
    for name, variables, arguments in list_pod_containers(template.k8s_pod.pod_spec):
        _check(variables, arguments, f"task_template.k8s_pod: container {name!r}")


def check_run(spec: RunSpec) -> None:
    """Raise InvalidError for the first variable of a run that a process cannot be given."""
    _check([(each.key, each.value) for each in spec.envs.values], [], "run_spec")


def _check(variables: _Variables, arguments: Sequence[str], where: str) -> None:
    for name, value in variables:
        _check_variable(name, value, where)
    for index, argument in enumerate(arguments):
        size = len(argument.encode()) + 1
        if "\0" in argument:
            raise InvalidError(f"{where}: argument {index} holds a NUL character; leave it out")
        if size > MAX_STRING_BYTES:
            raise InvalidError(
                f"{where}: argument {index} has {size} bytes; a process takes at most"
                f" {MAX_STRING_BYTES} in one; {_REMEDY}"
            )
    total = sum(len(name.encode()) + len(value.encode()) + 2 for name, value in variables)
    total += sum(len(argument.encode()) + 1 for argument in arguments)
    if total > MAX_TOTAL_BYTES:
        raise InvalidError(
            f"{where}: the environment variables and arguments have {total} bytes; at most"
            f" {MAX_TOTAL_BYTES} can be given to a process; {_REMEDY}"
        )


def _check_variable(name: str, value: str, where: str) -> None:
    if not name:
        raise InvalidError(f"{where}: an environment variable has no name; name it or remove it")
    shown = name[:_SHOWN]
    if "=" in name or "\0" in name:
        raise InvalidError(
            f"{where}: the environment variable name {shown!r} holds '=' or NUL; rename it"
        )
    if "\0" in value:
        raise InvalidError(
            f"{where}: the environment variable {shown!r} holds a NUL character, which ends a"
            " string for a process; encode the value, for example as base64"
        )
    size = len(name.encode()) + len(value.encode()) + 2  # '=' and the final NUL
    if size > MAX_STRING_BYTES:
        raise InvalidError(
            f"{where}: the environment variable {shown!r} has {size} bytes with its name; a"
            f" process takes at most {MAX_STRING_BYTES} in one; {_REMEDY}"
        )


def list_pod_containers(pod: Struct) -> Iterator[tuple[str, _Variables, Sequence[str]]]:
    """Yield each container's name, its variables, and its command with its arguments."""
    for kind in ("containers", "initContainers"):
        for value in _items(pod, kind):
            container = value.struct_value
            variables = [
                (_text(each.struct_value, "name"), _text(each.struct_value, "value"))
                for each in _items(container, "env")
            ]
            arguments = [
                each.string_value
                for field in ("command", "args")
                for each in _items(container, field)
            ]
            yield _text(container, "name"), variables, arguments


def _items(message: Struct, field: str) -> Sequence[Value]:
    return message.fields[field].list_value.values if field in message.fields else ()


def _text(message: Struct, field: str) -> str:
    return message.fields[field].string_value if field in message.fields else ""
