"""List requests in both of flyteidl2's forms."""

import pytest
from flyteidl2.common.list_pb2 import Filter as FilterMessage, ListRequest, Sort

from controlplane.api.convert.lists import parse_listing, parse_string_filters
from controlplane.core.errors import InvalidError
from controlplane.core.lists import DEFAULT_LIMIT, Filter, Listing, Order, Test as By


def test_empty_list_request_is_the_first_page_of_default_size() -> None:
    assert parse_listing(ListRequest()) == Listing(filters=[], orders=[], limit=DEFAULT_LIMIT)


def test_filter_functions_are_known() -> None:
    for function in FilterMessage.Function.values():
        message = FilterMessage(function=function, field="name", values=["x"])
        (parsed,) = parse_listing(ListRequest(filters=[message])).filters
        assert parsed.field == "name"


def test_phase_filter_split_by_the_sdk_is_joined() -> None:
    request = ListRequest(filters=[FilterMessage(field="phase", values="10")])
    assert parse_listing(request).filters == [Filter("phase", By.EQUAL, ["10"])]


def test_several_orders_win_over_the_older_single_one() -> None:
    request = ListRequest(
        sort_by=Sort(key="old"),
        sort_by_fields=[Sort(key="a", direction=Sort.ASCENDING), Sort(key="b")],
    )
    assert parse_listing(request).orders == [Order("a", ascending=True), Order("b")]
    assert parse_listing(ListRequest(sort_by=Sort(key="old"))).orders == [Order("old")]


@pytest.mark.parametrize(
    ("given", "parsed"),
    [
        ("", []),
        ("eq(state, 0)", [Filter("state", By.EQUAL, ["0"])]),
        (
            "eq(state,1)+contains(name, a b)",
            [Filter("state", By.EQUAL, ["1"]), Filter("name", By.CONTAINS, ["a b"])],
        ),
        ("value_in(id,a;b)", [Filter("id", By.IN, ["a", "b"])]),
    ],
)
def test_strings_of_filters_are_read(given: str, parsed: list[Filter]) -> None:
    assert parse_string_filters(given) == parsed


@pytest.mark.parametrize("given", ["state=0", "eq(state)", "like(name,x)", "eq(a b,0)", "x" * 9000])
def test_malformed_filter_strings_are_refused(given: str) -> None:
    with pytest.raises(InvalidError, match="filters"):
        parse_string_filters(given)
