"""
Computes cache keys of root actions and hashes of inputs by the same rules as the SDK.

The SDK computes a child's key in the parent's process; a root has none, so its key is computed
here. With the same rules a root and a child of the same task and inputs share an entry.
"""

import hashlib
from base64 import b64encode
from collections.abc import Collection, Iterable

import msgpack
from flyteidl2.core.interface_pb2 import TypedInterface
from flyteidl2.core.literals_pb2 import Literal
from flyteidl2.core.tasks_pb2 import TaskMetadata, TaskTemplate
from flyteidl2.task.common_pb2 import Inputs, NamedLiteral

from controlplane.api.convert.strings import parse_text
from controlplane.api.convert.timestamps import parse_duration
from controlplane.core.caching import CacheRequest

MAX_KEY = 256
MAX_INPUTS_HASH = 1024
_MSGPACK = "msgpack"


def _hash(data: bytes) -> str:
    return b64encode(hashlib.sha256(data).digest()).decode()


NO_INPUTS = _hash(b"")
"""The inputs hash where no input counts: the message that carries it does not allow an empty one."""


KICKOFF = "_u_kickoff_time_input_arg"
"""Key of the inputs' context by which the SDK in a task finds the argument for the kickoff time."""
_AT_KICKOFF = "kickoff:"
"""Begins the hash of inputs one of which is the kickoff time, which no literal holds."""


def hash_with_context(inputs: Inputs, hashed: str, ignored: Collection[str]) -> str:
    """Return a hash of inputs that says whether one of them is the run's kickoff time."""
    given = (pair.value for pair in inputs.context if pair.key == KICKOFF)
    is_at_kickoff = any(argument not in ignored for argument in given)
    return f"{_AT_KICKOFF}{hashed}" if is_at_kickoff else hashed


def parse_cache(template: TaskTemplate, key: str) -> CacheRequest | None:
    """Parse what an action of this task with this key asks of the cache; None: it is not cached."""
    metadata: TaskMetadata = template.metadata
    if not metadata.discoverable or not key:
        return None
    max_age = None
    if metadata.HasField("cache_max_age"):
        max_age = parse_duration(metadata.cache_max_age, "metadata.cache_max_age")
    return CacheRequest(
        key=key,
        max_age=max_age,
        has_outputs=bool(template.interface.outputs.variables),
        serialize=metadata.cache_serializable,
    )


def parse_child_cache(template: TaskTemplate, key: str) -> CacheRequest | None:
    """Parse the same for a child action, whose key is the client's."""
    return parse_cache(template, parse_text(key, "task.cache_key", most=MAX_KEY))


def parse_root_cache(template: TaskTemplate, inputs_hash: str) -> CacheRequest | None:
    """
    Compute the key of a root action; the hash of its inputs is text that a client may choose.

    None also if an input is the kickoff time: equal literals are not equal inputs then.
    """
    parse_text(inputs_hash, "offloaded_input_data.inputs_hash", most=MAX_INPUTS_HASH)
    if inputs_hash.startswith(_AT_KICKOFF):
        return None
    return parse_cache(template, root_key(template, inputs_hash))


def root_key(template: TaskTemplate, inputs_hash: str) -> str:
    """Compute a root's key as the SDK computes that of a child."""
    if inputs_hash == NO_INPUTS:
        inputs_hash = ""
    interface = hash_interface(template.interface)
    version = template.metadata.discovery_version
    return _hash(f"{inputs_hash}{template.id.name}{interface}{version}".encode())


def hash_interface(interface: TypedInterface) -> str:
    """
    Hash an interface whose variables are sorted by name and have no descriptions.

    A deployed task's have the descriptions of its docstring, those that a task sends have none.
    """
    plain = TypedInterface()
    plain.CopyFrom(interface)
    for variables in (plain.inputs.variables, plain.outputs.variables):
        if not variables:  # a change to an empty list would add its parent to the message
            continue
        ordered = sorted(variables, key=lambda entry: str(entry.key))
        del variables[:]
        variables.extend(ordered)
        for entry in variables:
            entry.value.description = ""
    return _hash(plain.SerializeToString(deterministic=True))


def hash_inputs(literals: Iterable[NamedLiteral], ignored: Collection[str]) -> str:
    """Hash the named literals in their order, without those that the task ignores."""
    parts = [
        b"%s:%s;" % (literal.name.encode(), _represent(literal.value))
        for literal in literals
        if literal.name not in ignored
    ]
    return _hash(b"".join(parts))


def _represent_inner(literal: Literal) -> bytes:
    """
    Return the bytes of an element, with its length if it has elements of its own.

    Without that, [[1, 2]] and [[1], [2]] would have one hash. The SDK does not do so, and so roots
    with nested lists or maps share no entry with children.
    """
    parts = _represent(literal)
    is_nested = not literal.hash and literal.WhichOneof("value") in ("collection", "map")
    return b"[%d:%s" % (len(parts), parts) if is_nested else parts


def _represent(literal: Literal) -> bytes:
    """Return the bytes that a literal is hashed by: its own hash, if it has one."""
    if literal.hash:
        return bytes(literal.hash.encode())
    match literal.WhichOneof("value"):
        case "collection":
            return b"".join(_represent_inner(each) for each in literal.collection.literals)
        case "map":
            named = literal.map.literals
            return b"".join(key.encode() + _represent_inner(named[key]) for key in sorted(named))
        case "scalar" if literal.scalar.binary.tag == _MSGPACK:
            canonical = Literal()
            canonical.CopyFrom(literal)
            canonical.scalar.binary.value = _sort_maps(literal.scalar.binary.value)
            return bytes(canonical.SerializeToString(deterministic=True))
        case _:
            return bytes(literal.SerializeToString(deterministic=True))


def _sort_maps(packed: bytes) -> bytes:
    """Encode msgpack bytes again with the keys of all maps sorted; other bytes stay as they are."""
    try:
        packed_again: bytes = msgpack.packb(_sorted(msgpack.unpackb(packed, strict_map_key=False)))
    except (ValueError, TypeError, OverflowError, RecursionError, msgpack.UnpackException):
        return packed
    return packed_again


def _sorted(value: object) -> object:
    match value:
        case dict():
            return {key: _sorted(value[key]) for key in sorted(value, key=msgpack.packb)}
        case list() | tuple():
            return [_sorted(each) for each in value]
        case _:
            return value
