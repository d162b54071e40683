"""Inputs of every type of the SDK, as JSON and back."""

import asyncio
import math
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import msgpack
import pytest
from flyte.types import TypeEngine
from flyteidl2.core.literals_pb2 import Blob, Literal
from flyteidl2.core.types_pb2 import BlobType, LiteralType, SimpleType, UnionType
from google.protobuf.struct_pb2 import Struct
from hypothesis import given, strategies as st
from pydantic import BaseModel

from controlplane.api.convert.launch_forms import (
    convert_values,
)
from controlplane.core.errors import InvalidError
from tests.unit.api.launch_forms import (
    Color,
    Layer,
    Model,
    convert,
    make,
    through_form,
    unpack,
    variables,
)


class Part(BaseModel):
    size: int


class Whole(BaseModel):
    parts: list[Part]
    main: Part | None = None
    rates: dict[str, float] = {}


class Pair(NamedTuple):
    first: int
    second: str


VALUES: list[tuple[Any, Any, Any]] = [
    (int, 5, 5),
    (int, 2**63 - 1, str(2**63 - 1)),
    (int, -(2**63), str(-(2**63))),
    (float, 2.0, 2),
    (float, 0.1, 0.1),
    (float, math.inf, "Infinity"),
    (str, "x\ny", "x\ny"),
    (bool, False, False),
    (datetime, datetime(2024, 1, 1, 2, 3, 4, 500, tzinfo=UTC), "2024-01-01T02:03:04.000500Z"),
    (timedelta, timedelta(days=1, microseconds=1), "86400.000001s"),
    (Color, Color.GREEN, "GREEN"),
    (list[int], [], []),
    (list[list[float]], [[1.0], []], [[1], []]),
    (dict[str, int], {}, {}),
    (dict[str, list[str]], {"a": ["b"]}, {"a": ["b"]}),
    (int | None, None, None),
    (int | None, 3, 3),
    (int | str, "5", {"type": "str", "value": "5"}),
    (int | str, 5, {"type": "int", "value": 5}),
    (list[int | None], [1, None], [1, None]),
    (dict, {"a": 1.0, "b": b"x"}, {"a": {"$float": "1.0"}, "b": {"$bytes": "eA=="}}),
    (dict, {"a": 2**60, "b": 1}, {"a": {"$int": str(2**60)}, "b": 1}),
    (dict[int, str], {1: "a"}, {"$pairs": [[1, "a"]]}),
    (dict, {"$int": "mine"}, {"$pairs": [["$int", "mine"]]}),
]


@pytest.mark.parametrize(("python", "value", "expected"), VALUES, ids=str)
def test_value_of_each_type_returns_from_a_form_unchanged(
    python: Any, value: Any, expected: Any
) -> None:
    type_, literal = make(python, value)

    shown, found = through_form(type_, literal)

    assert shown == expected
    assert found.SerializeToString(deterministic=True) == literal.SerializeToString(
        deterministic=True
    )


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the SDK's own making
@pytest.mark.parametrize(
    ("python", "value"),
    [
        (Model, Model([Layer(1), Layer(2, 0.5)], {"a": 1}, {7: "x"}, {3: 1.0}, 4, "5", 2.0)),
        (Model, Model([], {}, either=2**60, both=1)),
        (Model, Model([Layer(2**60, math.inf)], {})),
        (list[Model], [Model([], {})]),
        (Whole, Whole(parts=[Part(size=1)], main=Part(size=2), rates={"a": 1.0})),
        (Whole, Whole(parts=[])),
        (Pair, Pair(1, "a")),
    ],
    ids=str,
)  # fmt: skip
def test_structured_value_returns_from_a_form_equal(python: Any, value: Any) -> None:
    type_, literal = make(python, value)

    _, found = through_form(type_, literal)

    def kinds(value: Any) -> Any:
        """Show 1 and 1.0 as different values."""
        if isinstance(value, dict):
            return {(repr(key)): kinds(each) for key, each in value.items()}
        return [kinds(each) for each in value] if isinstance(value, list) else repr(value)

    if type_.WhichOneof("type") == "simple":
        assert kinds(unpack(found)) == kinds(unpack(literal))
    assert asyncio.run(TypeEngine.to_python_value(found, python)) == value


_TEXT = st.text(st.characters(codec="utf-8"))
_KEYS = _TEXT | st.integers(-(2**63), 2**64 - 1) | st.booleans() | st.binary()
_SCALARS = _KEYS | st.none() | st.floats(width=64)
_UNTYPED = st.recursive(
    _SCALARS, lambda inner: st.lists(inner) | st.dictionaries(_KEYS, inner), max_leaves=20
)


@given(_UNTYPED)
def test_any_untyped_value_returns_from_a_form_with_every_type_and_bit(value: Any) -> None:
    literal = Literal()
    literal.scalar.binary.value, literal.scalar.binary.tag = msgpack.packb(value), "msgpack"

    _, found = through_form(LiteralType(simple=SimpleType.STRUCT), literal)

    def exact(value: Any) -> Any:
        """Show values so that 1, 1.0 and True differ, and the order of text keys counts not."""
        if isinstance(value, dict):
            return sorted((repr(key), exact(each)) for key, each in value.items())
        return [exact(each) for each in value] if isinstance(value, list) else repr(value)

    assert exact(unpack(found)) == exact(unpack(literal))


def test_nan_is_preserved() -> None:
    shown, found = through_form(*make(float, math.nan))

    assert shown == "NaN"
    assert math.isnan(found.scalar.primitive.float_value)


def test_pickled_value_is_preserved() -> None:
    type_, literal = make(bytes, b"\0\xff")

    shown, found = through_form(type_, literal)

    assert shown["type"] == "binary"
    assert found == literal


def test_file_and_its_format_are_preserved_and_a_uri_suffices() -> None:
    type_ = LiteralType(blob=BlobType(format="csv"))
    literal = Literal()
    literal.scalar.blob.CopyFrom(Blob(uri="s3://bucket/a"))
    literal.scalar.blob.metadata.type.format = "parquet"

    shown, found = through_form(type_, literal)

    assert shown == {"uri": "s3://bucket/a", "format": "parquet", "dimensionality": "SINGLE"}
    assert found == literal
    assert convert(type_, "s3://b/x").scalar.blob.metadata.type.format == "csv"


def test_dataframe_is_preserved() -> None:
    type_ = LiteralType()
    type_.structured_dataset_type.format = "parquet"
    literal = Literal()
    literal.scalar.structured_dataset.uri = "s3://bucket/d"
    about = literal.scalar.structured_dataset.metadata.structured_dataset_type
    about.format = "csv"
    about.columns.add(name="a").literal_type.simple = SimpleType.INTEGER

    assert through_form(type_, literal)[1] == literal
    found = convert(type_, "s3://b/x").scalar.structured_dataset
    assert found.metadata.structured_dataset_type.format == "parquet"


@pytest.mark.parametrize(
    ("python", "given", "expected"),
    [
        (int, "42", 42),
        (float, "1.5", 1.5),
        (float, 3, 3.0),
        (timedelta, 90, timedelta(seconds=90)),
        (timedelta, "PT1M30.5S", timedelta(seconds=90.5)),
        (timedelta, "-P1DT1H", timedelta(hours=-25)),
        (datetime, "2024-01-01T01:00:00+01:00", datetime(2024, 1, 1, tzinfo=UTC)),
    ],
    ids=str,
)
def test_values_may_be_written_in_several_ways(python: Any, given: Any, expected: Any) -> None:
    type_ = TypeEngine.to_literal_type(python)

    assert asyncio.run(TypeEngine.to_python_value(convert(type_, given), python)) == expected


@pytest.mark.parametrize(
    ("python", "given", "message"),
    [
        (int, "five", r"^x: must be a whole number, not 'five'"),
        (int, 1.5, r"^x: must be a whole number"),
        (int, True, r"^x: must be a whole number"),
        (int, 2.0**53, r"^x: is a number beyond 2\^53"),
        (int, str(2**63), r"^x: 9223372036854775808 does not fit into 64 bits"),
        (float, "many", r"^x: must be a number"),
        (float, "1e999", r"^x: must be a number"),
        (str, 1, r"^x: must be text"),
        (bool, "true", r"^x: must be true or false"),
        (datetime, "yesterday", r"^x: must be a time such as"),
        (timedelta, "P", r"^x: must be a number of seconds"),
        (timedelta, 1e18, r"^x: must be a number of seconds"),
        (Color, "BLUE", r"^x: must be one of RED, GREEN"),
        (Color, ["RED"], r"^x: must be one of RED, GREEN"),
        (list[int], {"a": 1}, r"^x: must be a list"),
        (list[int], [1, "b"], r"^x\[1\]: must be a whole number"),
        (dict[str, int], [1], r"^x: must be an object"),
        (dict[str, int], {"a": None}, r"^x\.a: must be a whole number"),
        (int | str, "5", r"^x: must be an object"),
        (int | str, {"type": "float", "value": 5}, r"^x: must be an object with .* int, str"),
        (Model, {"layers": []}, r"^x\.options: is missing"),
        (Model, {"layers": [{"width": "w"}], "options": {}}, r"^x\.layers\[0\]\.width: must be"),
        (Model, {"layers": {}, "options": {}}, r"^x\.layers: must be array, not an object"),
        (Model, {"layers": [], "options": []}, r"^x\.options: must be object, not a list"),
        (Model, {"layers": [], "options": {}, "more": 1}, r"^x\.more: is no field of this type"),
        (Model, {"layers": [], "options": None}, r"^x\.options: must be object, not None"),
        (Model, {"layers": [], "options": {"a": "b"}}, r"^x\.options\.a: must be a whole"),
        (dict, {"a": {"$int": "b"}}, r"^x\.a\.\$int: must be a whole number"),
        (dict, {"a": {"$bytes": "!"}}, r"^x\.a\.\$bytes: must be base64"),
        (dict, {"$pairs": [[1]]}, r"^x\.\$pairs\[0\]: must be a list of pairs"),
        (dict, {"$pairs": 1}, r"^x\.\$pairs\[0\]: must be a list of pairs"),
        (dict, {"$pairs": [[[], 1]]}, r"^x\.\$pairs\[0\]: a key must be text"),
    ],
    ids=str,
)
def test_value_that_does_not_fit_is_refused_with_its_path(
    python: Any, given: Any, message: str
) -> None:
    with pytest.raises(InvalidError, match=message):
        convert(TypeEngine.to_literal_type(python), given)


def test_missing_and_unknown_inputs_are_refused_and_optional_ones_may_be_left_out() -> None:
    several: dict[str, Any] = {"a": int, "b": int | None}
    types = {name: TypeEngine.to_literal_type(each) for name, each in several.items()}
    values = Struct()
    values.update({"a": 1})

    assert [each.name for each in convert_values(variables(**types), values)] == ["a", "b"]
    with pytest.raises(InvalidError, match="a: is missing"):
        convert_values(variables(**types), Struct())
    values.update({"c": 1})
    with pytest.raises(InvalidError, match="c: is no input; there are a, b"):
        convert_values(variables(**types), values)


def test_struct_and_whole_float_of_another_sdk_are_shown() -> None:
    struct, number = Literal(), Literal()
    struct.scalar.generic.update({"a": [1, None]})
    number.scalar.primitive.integer = 3

    assert through_form(LiteralType(simple=SimpleType.STRUCT), struct)[0] == {"a": [1, None]}
    assert through_form(LiteralType(simple=SimpleType.FLOAT), number)[0] == 3


def test_variant_of_a_union_that_another_sdk_describes_otherwise_is_found_by_its_tag() -> None:
    type_, literal = make(int | str, "x")
    literal.scalar.union.type.annotation.SetInParent()
    unknown = Literal()
    unknown.CopyFrom(literal)
    unknown.scalar.union.type.structure.tag = "float"

    assert through_form(type_, literal)[0] == {"type": "str", "value": "x"}
    with pytest.raises(InvalidError, match="x: is of none of the types int, str"):
        through_form(type_, unknown)


def test_variants_with_the_same_tag_and_kind_are_numbered() -> None:
    texts = [LiteralType(simple=SimpleType.STRING) for _ in range(2)]
    type_ = LiteralType(union_type=UnionType(variants=texts))

    found = convert(type_, {"type": "string 2", "value": "x"})

    assert found.scalar.union.value.scalar.primitive.string_value == "x"


def test_deeply_nested_types_and_values_are_refused() -> None:
    deep: Any = 1
    for _ in range(90):
        deep = [deep]
    literal = Literal()
    literal.scalar.binary.value, literal.scalar.binary.tag = msgpack.packb(deep), "msgpack"

    with pytest.raises(InvalidError, match="nested more than 64 levels"):
        through_form(TypeEngine.to_literal_type(dict), literal)


def test_schema_that_refers_to_itself_in_a_circle_allows_any_value() -> None:
    type_ = LiteralType(simple=SimpleType.STRUCT)
    type_.metadata.update({"$ref": "#/$defs/A", "$defs": {"A": {"$ref": "#/$defs/A"}}})

    assert unpack(convert(type_, {"a": 1})) == {"a": 1}
