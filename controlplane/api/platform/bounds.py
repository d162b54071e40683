"""
Bounds every string and list of a request, so that no service has to.

The use cases check what a value means; these bounds hold for fields of later releases, too.
"""

from collections.abc import Mapping

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from controlplane.core.errors import InvalidError

MAX_STRING = 4_096
"""Characters of a string; the use cases have smaller bounds of their own."""
MAX_ITEMS = 1_000
"""Items of a list or map."""
MAX_KEY_SHOWN = 80
"""Characters of a map's key in an error."""


def require_bounded(message: Message, path: str = "") -> None:
    """Raise InvalidError naming the field that is too large or holds a NUL character."""
    for field, value in message.ListFields():
        name = f"{path}{field.name}"
        items = value if field.is_repeated else [value]
        if len(items) > MAX_ITEMS:
            raise InvalidError(f"{name}: send at most {MAX_ITEMS} items, not {len(items)}")
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            _require_map(value, name)
            continue
        for item in items:
            if field.message_type is not None:
                require_bounded(item, f"{name}.")
            elif field.type == FieldDescriptor.TYPE_STRING:
                _require_text(item, name)


def _require_map(value: Mapping[object, object], name: str) -> None:
    for key, item in value.items():
        where = f"{name}.{str(key)[:MAX_KEY_SHOWN]}"
        for each in (key, item):
            if isinstance(each, Message):
                require_bounded(each, f"{where}.")
            elif isinstance(each, str):
                _require_text(each, where)


def _require_text(value: str, name: str) -> None:
    if len(value) > MAX_STRING:
        raise InvalidError(f"{name}: send at most {MAX_STRING} characters, not {len(value)}")
    if "\0" in value:
        raise InvalidError(f"{name}: send no NUL characters")
