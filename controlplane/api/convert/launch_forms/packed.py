"""
Converts msgpack values to JSON and back, guided by a JSON schema where there is one.

JSON has one kind of number and only text as keys, and numbers of a Struct are doubles. Without a
schema a value that would come back as another one is marked by an object with one key: ``$int``
(beyond 2^53), ``$float`` (whole, infinite or no number), ``$bytes`` (base64), ``$pairs`` (a map with
other keys than text).
"""

import base64
import binascii
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgpack

from controlplane.core.errors import InvalidError

EXACT = 2**53 - 1
"""Whole numbers up to this are exact as doubles."""
MAX_DEPTH = 64
_INT, _FLOAT, _BYTES, _PAIRS = "$int", "$float", "$bytes", "$pairs"
_MARKS = frozenset({_INT, _FLOAT, _BYTES, _PAIRS})
_NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}

Schema = Mapping[str, Any]
_ANY: Schema = {}


def unpack_json(body: bytes, schema: Schema, path: str) -> Any:
    """Convert a msgpack value to JSON; InvalidError, naming the path, if it is none."""
    try:
        value = msgpack.unpackb(body, raw=False, strict_map_key=False)
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise InvalidError(f"{path}: is not a msgpack value: {error}") from error
    return _Converter(schema).to_json(value, schema, path, 0)


def pack_json(value: Any, schema: Schema, path: str) -> bytes:
    """Convert JSON to a msgpack value; InvalidError names the path of what does not fit."""
    body: bytes = msgpack.packb(_Converter(schema).from_json(value, schema, path, 0))
    return body


def render_float(value: float) -> float | str:
    """Render a number as JSON, which has no NaN and no infinity."""
    if math.isnan(value):
        return "NaN"
    return value if math.isfinite(value) else ("Infinity" if value > 0 else "-Infinity")


def parse_float(value: Any, path: str) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, str):
        try:
            return _NOT_FINITE[value] if value in _NOT_FINITE else _finite(value)
        except ValueError:
            pass
    raise InvalidError(f"{path}: must be a number, NaN, Infinity or -Infinity, not {_show(value)}")


def render_int(value: int) -> int | str:
    """Render a whole number as JSON: as text if a double would change it."""
    return value if abs(value) <= EXACT else str(value)


def parse_int(value: Any, path: str, *, least: int = -(2**63), most: int = 2**63 - 1) -> int:
    number: int | None = None
    if isinstance(value, str):
        digits = value.removeprefix("-")
        if digits.isascii() and digits.isdigit() and len(digits) <= 20:
            number = int(value)
    elif not isinstance(value, bool) and isinstance(value, (int, float)):
        if float(value).is_integer() and abs(value) <= EXACT:
            number = int(value)
        elif abs(value) > EXACT:
            raise InvalidError(
                f"{path}: is a number beyond 2^53, which JSON rounds; write it as text"
            )
    if number is None:
        raise InvalidError(f"{path}: must be a whole number, not {_show(value)}")
    if not least <= number <= most:
        raise InvalidError(f"{path}: {number} does not fit into 64 bits")
    return number


def parse_bytes(value: Any, path: str) -> bytes:
    try:
        if isinstance(value, str):
            return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        pass
    raise InvalidError(f"{path}: must be base64")


def render_bytes(value: bytes) -> str:
    return base64.b64encode(value).decode()


def require_depth(depth: int, path: str) -> None:
    if depth > MAX_DEPTH:
        raise InvalidError(f"{path[:200]}: is nested more than {MAX_DEPTH} levels deep")


@dataclass(frozen=True, slots=True)
class _Converter:
    root: Schema

    def to_json(self, value: Any, schema: Schema, path: str, depth: int) -> Any:
        require_depth(depth, path)
        match value:
            case None | bool() | str():
                return value
            case int():
                if abs(value) <= EXACT:
                    return value
                kinds = self._kinds(schema)
                is_known = "integer" in kinds and "string" not in kinds
                return str(value) if is_known else {_INT: str(value)}
            case float():
                kinds = self._kinds(schema)
                if "number" in kinds and not kinds & {"integer", "string"}:
                    return render_float(value)
                is_plain = math.isfinite(value) and not value.is_integer()
                return value if is_plain else {_FLOAT: str(render_float(value))}
            case bytes():
                return {_BYTES: render_bytes(value)}
            case list():
                schema = self._choose(schema, "array")
                return [
                    self.to_json(each, self._item(schema, index), f"{path}[{index}]", depth + 1)
                    for index, each in enumerate(value)
                ]
            case dict():
                return self._render_map(value, self._choose(schema, "object"), path, depth + 1)
            case _:
                raise InvalidError(f"{path}: a msgpack {type(value).__name__} has no JSON form")

    def from_json(self, value: Any, schema: Schema, path: str, depth: int) -> Any:
        require_depth(depth, path)
        if isinstance(value, dict):
            if len(value) == 1 and next(iter(value)) in _MARKS:
                return self._parse_mark(value, self._choose(schema, "object"), path, depth + 1)
            return self._parse_map(value, self._choose(schema, "object"), path, depth + 1)
        if isinstance(value, list):
            kinds = self._kinds(schema)
            if kinds and "array" not in kinds:
                raise InvalidError(f"{path}: must be {_list(kinds)}, not a list")
            schema = self._choose(schema, "array")
            return [
                self.from_json(each, self._item(schema, index), f"{path}[{index}]", depth + 1)
                for index, each in enumerate(value)
            ]
        return self._parse_scalar(value, schema, path)

    def _parse_scalar(self, value: Any, schema: Schema, path: str) -> Any:
        kinds = self._kinds(schema)
        self._require_listed(value, schema, path)
        if value is None or isinstance(value, bool):
            kind = "null" if value is None else "boolean"
            if kinds and kind not in kinds:
                raise InvalidError(f"{path}: must be {_list(kinds)}, not {_show(value)}")
            return value
        if isinstance(value, str) and (not kinds or "string" in kinds):
            return value
        if "integer" in kinds and not ("number" in kinds and _is_fraction(value)):
            return parse_int(value, path, most=2**64 - 1)
        if "number" in kinds:
            return parse_float(value, path)
        if kinds:
            raise InvalidError(f"{path}: must be {_list(kinds)}, not {_show(value)}")
        return value if _is_fraction(value) else parse_int(value, path, most=2**64 - 1)

    def _render_map(self, value: Mapping[Any, Any], schema: Schema, path: str, depth: int) -> Any:
        is_mark = len(value) == 1 and next(iter(value)) in _MARKS
        if is_mark or not all(isinstance(key, str) for key in value):
            return {
                _PAIRS: [
                    [
                        self.to_json(key, _ANY, f"{path} key", depth),
                        self.to_json(each, self._field(schema, ""), f"{path}[{key!r}]", depth),
                    ]
                    for key, each in value.items()
                ]
            }
        return {
            key: self.to_json(each, self._field(schema, key), f"{path}.{key}", depth)
            for key, each in value.items()
        }

    def _parse_map(self, value: Mapping[str, Any], schema: Schema, path: str, depth: int) -> Any:
        kinds = self._kinds(schema)
        if kinds and "object" not in kinds:
            raise InvalidError(f"{path}: must be {_list(kinds)}, not an object")
        required: Sequence[str] = schema.get("required") or ()
        for key in required:
            if key not in value:
                raise InvalidError(f"{path}.{key}: is missing")
        known = schema.get("properties") or {}
        if schema.get("additionalProperties") is False:
            for key in value:
                if key not in known:
                    raise InvalidError(
                        f"{path}.{key}: is no field of this type; it has {', '.join(sorted(known))}"
                    )
        order = [*required, *sorted(key for key in value if key not in required)]
        return {
            key: self.from_json(value[key], self._field(schema, key), f"{path}.{key}", depth)
            for key in order
        }

    def _parse_mark(self, value: Mapping[str, Any], schema: Schema, path: str, depth: int) -> Any:
        [(mark, inner)] = value.items()
        path = f"{path}.{mark}"
        if mark == _INT:
            return parse_int(inner, path, most=2**64 - 1)
        if mark == _FLOAT:
            return parse_float(inner, path)
        if mark == _BYTES:
            return parse_bytes(inner, path)
        pairs = {}
        for index, pair in enumerate(inner if isinstance(inner, list) else [None]):
            where = f"{path}[{index}]"
            if not isinstance(pair, list) or len(pair) != 2:
                raise InvalidError(f"{where}: must be a list of pairs of key and value")
            key = self.from_json(pair[0], _ANY, f"{where} key", depth)
            if isinstance(key, (list, dict)):
                raise InvalidError(f"{where}: a key must be text, a number, bytes, true or false")
            pairs[key] = self.from_json(pair[1], self._field(schema, ""), where, depth)
        return pairs

    def _require_listed(self, value: Any, schema: Schema, path: str) -> None:
        listed = self._resolve(schema).get("enum")
        if listed and value not in listed:
            raise InvalidError(
                f"{path}: must be one of {', '.join(map(str, listed))}, not {_show(value)}"
            )

    def _item(self, schema: Schema, index: int) -> Schema:
        first = schema.get("prefixItems")
        if isinstance(first, list) and index < len(first):
            return _as_schema(first[index])
        return _as_schema(schema.get("items"))

    def _field(self, schema: Schema, key: str) -> Schema:
        known = schema.get("properties") or {}
        return _as_schema(known[key] if key in known else schema.get("additionalProperties"))

    def _resolve(self, schema: Schema) -> Schema:
        """Follow references to definitions, which a schema may not do in a circle."""
        for _ in range(MAX_DEPTH):
            reference = schema.get("$ref")
            if not isinstance(reference, str):
                return schema
            found: Any = self.root
            for name in reference.removeprefix("#/").split("/"):
                found = found.get(name) if isinstance(found, Mapping) else None
            schema = _as_schema(found)
        return _ANY

    def _alternatives(self, schema: Schema) -> Sequence[Schema]:
        schema = self._resolve(schema)
        several = schema.get("anyOf") or schema.get("oneOf")
        if not isinstance(several, list):
            return (schema,)
        return [self._resolve(_as_schema(each)) for each in several]

    def _kinds(self, schema: Schema) -> frozenset[str]:
        """Return the types that a value may have; none if the schema does not say."""
        kinds: set[str] = set()
        for each in self._alternatives(schema):
            kind = each.get("type")
            if kind is None:
                return frozenset()
            kinds.update([kind] if isinstance(kind, str) else kind)
        return frozenset(kinds)

    def _choose(self, schema: Schema, kind: str) -> Schema:
        """Return the alternative of this type, if one alone has it; else one that allows anything."""
        fitting = [each for each in self._alternatives(schema) if each.get("type") in (kind, None)]
        if len(fitting) == 1:
            return fitting[0]
        return _ANY if fitting else self._resolve(schema)


def _as_schema(found: Any) -> Schema:
    return found if isinstance(found, Mapping) else _ANY


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def _is_fraction(value: Any) -> bool:
    return isinstance(value, float) and not value.is_integer()


def _list(kinds: frozenset[str]) -> str:
    return " or ".join(sorted(kinds)) or "a value"


def _show(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:59]}…"
