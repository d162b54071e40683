"""Settings declared as fields of dataclasses: reading, refusing, options."""

from collections.abc import Mapping, Sequence
from dataclasses import field
from datetime import timedelta
from enum import StrEnum

import click
import pytest
from click.testing import CliRunner
from hypothesis import given, strategies as st

from shared.kit.secrets import SecretText
from shared.kit.settings import (
    Given,
    Kind,
    SettingsError,
    chosen,
    find_unknown,
    groups_of,
    kinds,
    read,
    setting,
    settings,
    variables_of,
)
from shared.kit.settings.options import given_by, make_options

PREFIX = "SHOP_"


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


@settings("Delays")
class Delays:
    first: timedelta = setting(
        "SHOP_FIRST_SECONDS", kinds.seconds(0.1, 60), "Comes first.", default=timedelta(seconds=1)
    )
    last: timedelta | None = setting(
        "SHOP_LAST_SECONDS",
        kinds.seconds_or_unlimited(60),
        "Comes last.",
        default=timedelta(seconds=2),
    )
    fixed: int = 7  # no setting

    def __post_init__(self) -> None:
        if self.last is not None and self.last < self.first:
            raise ValueError("the last comes before the first")


def _no_home() -> str:
    raise ValueError("there is no home")


@settings("Files", only_with="--store files")
class Files:
    path: str = setting("SHOP_PATH", kinds.text(20), "Where the files are.")
    home: str = setting(
        "SHOP_HOME",
        kinds.text(20),
        "The home.",
        default_factory=lambda: "/home",
        default_text="the home directory",
    )


@settings("Cloud", only_with="--store cloud")
class Cloud:
    region: str = setting(
        "SHOP_REGION",
        kinds.text(20),
        "The region.",
        default_factory=_no_home,
        default_text="that of the machine",
    )


@settings("Shop")
class Shop:
    storage: Files | Cloud = chosen(
        "SHOP_STORAGE", {"files": Files, "cloud": Cloud}, "Where goods are kept.", default="files"
    )
    password: SecretText = setting("SHOP_PASSWORD", kinds.secret(at_least=8), "Opens the shop.")
    shelves: int = setting(
        "SHOP_SHELVES", kinds.whole_number(1, 10, unit="shelves"), "Shelves.", default=3
    )
    is_open: bool = setting(
        "SHOP_OPEN", kinds.boolean(), "Whether it is open.", default=True, off_option="--closed"
    )
    colour: Colour = setting("SHOP_COLOUR", kinds.one_of(Colour), "The colour.", default=Colour.RED)
    towns: Sequence[str] = setting(
        "SHOP_TOWNS", kinds.listing(kinds.text(10)), "Where it delivers.", default=()
    )
    prices: Mapping[str, int] = setting(
        "SHOP_PRICE",
        kinds.pairs("THING", kinds.whole_number(0, 99, unit="cents")),
        "Of one thing.",
        default={},
    )
    delays: Delays = field(default_factory=Delays)


LEAST = {"SHOP_PASSWORD": "a password", "SHOP_PATH": "/srv"}


def shop(**changed: str) -> Shop:
    return read(Shop, {**LEAST, **changed})


def refused(**changed: str) -> str:
    with pytest.raises(SettingsError) as error:
        shop(**changed)
    return str(error.value)


def test_unset_and_empty_settings_have_their_defaults() -> None:
    read_shop = shop(SHOP_SHELVES="", SHOP_COLOUR=" ")
    assert read_shop == Shop(
        storage=Files(path="/srv", home="/home"), password=SecretText("a password")
    )
    assert (read_shop.shelves, read_shop.colour, read_shop.delays.fixed) == (3, Colour.RED, 7)


def test_settings_are_parsed_into_their_types() -> None:
    read_shop = shop(
        SHOP_SHELVES="10",
        SHOP_OPEN="No",
        SHOP_COLOUR="BLUE",
        SHOP_TOWNS="Ulm, Bonn,",
        SHOP_PRICE="tea=5 milk=12",
        SHOP_FIRST_SECONDS="0.5",
        SHOP_LAST_SECONDS="0",
    )
    assert (read_shop.shelves, read_shop.is_open, read_shop.colour) == (10, False, Colour.BLUE)
    assert (read_shop.towns, read_shop.prices) == (["Ulm", "Bonn"], {"tea": 5, "milk": 12})
    assert read_shop.delays == Delays(first=timedelta(seconds=0.5), last=None)


def test_settings_error_names_everything_that_is_wrong_with_value_and_remedy() -> None:
    assert refused(
        SHOP_PASSWORD="", SHOP_SHELVES="11", SHOP_COLOUR="green", SHOP_FIRST_SECONDS="soon"
    ).splitlines() == [
        "SHOP_PASSWORD is not set; set it to at least 8 characters",
        "SHOP_SHELVES is '11'; set it to a whole number of shelves from 1 to 10",
        "SHOP_COLOUR is 'green'; set it to one of red, blue",
        "SHOP_FIRST_SECONDS is 'soon'; set it to a number of seconds from 0.1 to 60",
    ]


def test_secret_setting_is_in_no_error_and_no_repr() -> None:
    assert refused(SHOP_PASSWORD="opensez") == (  # noqa: S106
        "SHOP_PASSWORD is invalid: it has fewer than 8 characters; set it to at least 8 characters"
    )
    assert "a password" not in repr(shop())


@pytest.mark.parametrize("url", ["http://u:pa55@db", "postgresql:u:pa55", "://[pa55", "pa55"])
def test_secret_url_setting_is_in_no_error(url: str) -> None:
    with pytest.raises(ValueError, match="does not begin with postgresql://") as error:
        kinds.secret_url("postgresql", "postgres").parse(url)
    assert "pa55" not in str(error.value)


def test_settings_that_contradict_each_other_are_named_together() -> None:
    assert refused(SHOP_FIRST_SECONDS="9", SHOP_LAST_SECONDS="8") == (
        "SHOP_FIRST_SECONDS, SHOP_LAST_SECONDS: the last comes before the first"
    )


def test_settings_of_the_chosen_group_are_read_alone() -> None:
    assert shop(SHOP_STORAGE="Cloud", SHOP_REGION="eu", SHOP_PATH="").storage == Cloud(region="eu")
    assert refused(SHOP_PATH="", SHOP_REGION="eu").startswith("SHOP_PATH is not set")
    assert "set it to one of files, cloud" in refused(SHOP_STORAGE="paper")


def test_default_that_cannot_be_found_says_why() -> None:
    assert refused(SHOP_STORAGE="cloud") == (
        "SHOP_REGION is not set, and there is no home; set it to printable text of at most 20 "
        "characters"
    )


def test_long_value_of_a_setting_is_shortened_in_its_error() -> None:
    assert len(refused(SHOP_SHELVES="9" * 100_000)) < 250


@given(st.sampled_from(sorted(set(variables_of(Shop)))), st.text(max_size=40))
def test_any_text_of_a_setting_is_read_or_refused_by_name(variable: str, text: str) -> None:
    try:
        shop(**{variable: text})
    except SettingsError as error:
        assert variable in str(error)  # noqa: PT017


@pytest.mark.parametrize(
    ("kind", "accepted", "invalid"),
    [
        (kinds.whole_number(1, 9, unit="x"), ["1", "9", "007"], ["0", "10", "-1", "1.0", "1_0", "\u0661"]),
        (kinds.fraction(), ["0", "0.01", ".5", "1"], ["1.1", "-0.1", "nan", "half"]),
        (kinds.seconds(0, 5), ["0", "4.5", ".5", "5"], ["5.1", "-1", "nan", "inf", "1e0", "5 s"]),
        (kinds.port(), ["0", "65535"], ["65536", "-1", "tcp://10.0.0.1:80", "81OO"]),
        (kinds.boolean(), ["true", "NO", "1"], ["maybe", "2"]),
        (kinds.text(3), ["abc", "é"], ["abcd", "a\n"]),
        (kinds.name(), ["a", "A-1", "x" * 63], ["-", "a/b", "a_b", "é", "x" * 64]),
        (kinds.http_url(), ["http://a", "https://a:1/b/"], ["localhost:8100", "ftp://a", "http://"]),
        (kinds.host_port(), ["a:1", "a.b-c:65535", "[::1]:80"], ["a", "a:0", "a:65536", "a:1/x", "::1:80", "u@a:1", ":80"]),
    ],
    ids=["number", "fraction", "seconds", "port", "boolean", "text", "name", "url", "address"],
)  # fmt: skip
def test_kind_of_setting_accepts_exactly_what_it_says(
    kind: Kind[object], accepted: Sequence[str], invalid: Sequence[str]
) -> None:
    for text in accepted:
        kind.parse(text)
    for text in invalid:
        with pytest.raises(ValueError):
            kind.parse(text)


def test_unknown_variable_is_found_with_the_nearest_setting() -> None:
    environment = ["SHOP_SHELFS", "SHOP_WEATHER", "SHOP_COLOUR", "SHOP_TILL_PORT", "PATH"]
    found = find_unknown(environment, variables_of(Shop), prefix=PREFIX, others=["SHOP_TILL_"])
    assert [(each.variable, each.nearest) for each in found] == [
        ("SHOP_SHELFS", "SHOP_SHELVES"),
        ("SHOP_WEATHER", ""),
    ]


def test_groups_are_listed_with_those_they_contain() -> None:
    assert [group.title for group in groups_of(Shop)] == ["Shop", "Files", "Cloud", "Delays"]


def run_with_options(*arguments: str, **variables: str) -> tuple[int, str]:
    """Run a command whose options are the shop's settings; it prints what it read."""

    @click.command(params=[*make_options(Shop, PREFIX)])
    def command(**options: object) -> None:
        try:
            made = read(Shop, {**LEAST, **variables}, given_by(Shop, PREFIX, options))
        except SettingsError as error:
            raise click.UsageError(str(error)) from error
        click.echo(f"{made.shelves} {made.is_open} {made.prices} {made.storage}")

    ended = CliRunner().invoke(command, arguments)
    return ended.exit_code, ended.output


def test_option_comes_before_the_variable_of_a_setting() -> None:
    code, output = run_with_options("--shelves", "5", "--closed", SHOP_SHELVES="4", SHOP_OPEN="1")
    assert (code, output.split()[:2]) == (0, ["5", "False"])
    assert run_with_options(SHOP_SHELVES="4", SHOP_OPEN="no")[1].split()[:2] == ["4", "False"]


def test_option_of_pairs_is_given_several_times() -> None:
    _, output = run_with_options("--price", "tea=5", "--price", "milk=1", SHOP_PRICE="jam=9")
    assert "{'tea': 5, 'milk': 1}" in output


def test_invalid_setting_is_named_by_where_it_was_given() -> None:
    assert (
        "Error: --shelves is '99'; set it to a whole number"
        in run_with_options("--shelves", "99")[1]
    )
    assert "Error: SHOP_SHELVES is '99'" in run_with_options(SHOP_SHELVES="99")[1]
    code, output = run_with_options(SHOP_PATH="")
    assert code == 2
    assert output.splitlines()[-1] == (
        "Error: --path (SHOP_PATH) is not set; set it to printable text of at most 20 characters"
    )


def test_help_of_options_shows_scope_default_and_negation() -> None:
    output = " ".join(run_with_options("--help")[1].split())
    assert "--shelves SHELVES Shelves. [default: 3]" in output
    assert "--open / --closed Whether it is open. [default: true]" in output
    assert "--path TEXT files: Where the files are. [required]" in output
    assert "--home TEXT files: The home. [default: the home directory]" in output
    assert "--storage [files|cloud]" in output


def test_values_of_a_setting_given_by_an_option_may_contain_spaces() -> None:
    given = {"SHOP_PATH": Given("--path", ["my files"])}
    assert read(Shop, LEAST, given).storage == Files(path="my files", home="/home")
