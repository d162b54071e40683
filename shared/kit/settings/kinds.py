"""Kinds of settings: how the text of a variable becomes a value, and what is accepted."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Generic, TypeVar
from urllib.parse import urlsplit

from shared.kit.secrets import SecretText

T = TypeVar("T")
_Choice = TypeVar("_Choice", bound=StrEnum)

_TRUTH = {
    **dict.fromkeys(("true", "t", "1", "yes", "y", "on"), True),
    **dict.fromkeys(("false", "f", "0", "no", "n", "off"), False),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind(Generic[T]):
    """
    A kind of setting.

    ``accepts`` continues "set it to …", with unit and bounds. ``parse`` raises ValueError for
    anything else; the error's text, if any, says what is wrong and contains no secret.
    """

    accepts: str
    parse: Callable[[str], T]
    metavar: str = "TEXT"  # the value in the help of an option
    is_secret: bool = False  # never shown, not even in the error about it
    is_flag: bool = False  # an option without a value
    join: Callable[[Sequence[T]], T] | None = None  # may be given several times; joins the values

    def parse_all(self, texts: Sequence[str]) -> T:
        """Return the value of one text, or of several if the kind joins them."""
        if self.join is None:
            return self.parse(texts[-1])
        return self.join([self.parse(text) for text in texts])


def whole_number(lowest: int, highest: int, *, unit: str) -> Kind[int]:
    """Accept decimal digits; ``unit`` is a plural, such as ``connections``."""

    def parse(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,18}", text) or not lowest <= int(text) <= highest:
            raise ValueError
        return int(text)

    return Kind(
        accepts=f"a whole number of {unit} from {lowest} to {highest}",
        parse=parse,
        metavar=unit.upper().replace(" ", "_"),
    )


def seconds(lowest: float, highest: float) -> Kind[timedelta]:
    """Accept a number of seconds, fractions too."""

    def parse(text: str) -> timedelta:
        if not re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,6})?|\.[0-9]{1,6}", text):
            raise ValueError
        if not lowest <= float(text) <= highest:
            raise ValueError
        return timedelta(seconds=float(text))

    return Kind(
        accepts=f"a number of seconds from {lowest:.15g} to {highest:.15g}",
        parse=parse,
        metavar="SECONDS",
    )


def fraction() -> Kind[float]:
    """Accept a number from 0 to 1."""

    def parse(given: str) -> float:
        number = float(given)
        if not 0 <= number <= 1:
            raise ValueError
        return number

    return Kind(accepts="a number from 0 to 1", parse=parse, metavar="NUMBER")


def seconds_or_unlimited(highest: float) -> Kind[timedelta | None]:
    """Accept a number of seconds; 0 is None, no limit."""
    limited = seconds(0, highest)
    return Kind(
        accepts=f"{limited.accepts}, where 0 is no limit",
        parse=lambda text: limited.parse(text) or None,
        metavar=limited.metavar,
    )


def port() -> Kind[int]:
    """Accept a TCP port; 0 selects a free one."""

    def parse(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,5}", text) or int(text) > 65535:
            raise ValueError
        return int(text)

    return Kind(accepts="a port from 0 to 65535", parse=parse, metavar="PORT")


def boolean() -> Kind[bool]:
    def parse(text: str) -> bool:
        try:
            return _TRUTH[text.lower()]
        except KeyError:
            raise ValueError from None

    return Kind(accepts="true or false", parse=parse, is_flag=True)


def one_of(choices: type[_Choice]) -> Kind[_Choice]:
    """Accept the value of an enum's member, in any case."""
    by_value = {choice.value: choice for choice in choices}

    def parse(text: str) -> _Choice:
        if text.lower() not in by_value:
            raise ValueError
        return by_value[text.lower()]

    return Kind(
        accepts=f"one of {', '.join(choices)}",
        parse=parse,
        metavar=f"[{'|'.join(choices)}]",
    )


def text(at_most: int, *, metavar: str = "TEXT") -> Kind[str]:
    """Accept printable text of at most so many characters."""

    def parse(given: str) -> str:
        if len(given) > at_most or not given.isprintable():
            raise ValueError
        return given

    return Kind(
        accepts=f"printable text of at most {at_most} characters", parse=parse, metavar=metavar
    )


def name() -> Kind[str]:
    """Accept the name of an org or cluster."""

    def parse(given: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9-]*[A-Za-z0-9][A-Za-z0-9-]*", given) or len(given) > 63:
            raise ValueError
        return given

    return Kind(
        accepts="1 to 63 letters, digits and dashes (at least one is no dash)",
        parse=parse,
        metavar="NAME",
    )


def http_url() -> Kind[str]:
    """Accept an absolute URL; trailing slashes are removed."""

    def parse(given: str) -> str:
        url = urlsplit(given)
        if url.scheme not in {"http", "https"} or not url.netloc:
            raise ValueError
        return given.rstrip("/")

    return Kind(accepts="an http:// or https:// address", parse=parse, metavar="URL")


def host_port() -> Kind[str]:
    """Accept ``host:port``; an IPv6 address is in brackets."""

    def parse(given: str) -> str:
        host, _, number = given.rpartition(":")
        if not re.fullmatch(r"[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]", host):
            raise ValueError
        if not re.fullmatch(r"[0-9]{1,5}", number) or not 0 < int(number) <= 65535:
            raise ValueError
        return given

    return Kind(accepts="host:port", parse=parse, metavar="HOST:PORT")


def secret(at_least: int) -> Kind[SecretText]:
    """Accept a secret of at least so many characters."""

    def parse(given: str) -> SecretText:
        if len(given) < at_least:
            raise ValueError(f"it has fewer than {at_least} characters")
        return SecretText(given)

    accepts = "text that is not empty" if at_least == 1 else f"at least {at_least} characters"
    return Kind(accepts=accepts, parse=parse, is_secret=True)


def secret_url(*schemes: str) -> Kind[SecretText]:
    """Accept a URL that may contain a password."""

    def parse(given: str) -> SecretText:
        # Not urlsplit, whose errors quote the password.
        if not given.startswith(tuple(f"{scheme}://" for scheme in schemes)):
            raise ValueError(f"it does not begin with {schemes[0]}://")
        return SecretText(given)

    return Kind(
        accepts=f"an address that begins with {schemes[0]}://",
        parse=parse,
        metavar="URL",
        is_secret=True,
    )


def listing(item: Kind[T]) -> Kind[Sequence[T]]:
    """Accept items separated by commas."""

    def parse(given: str) -> Sequence[T]:
        return [item.parse(part.strip()) for part in given.split(",") if part.strip()]

    return Kind(
        accepts=f"{item.accepts}, or several of them separated by commas",
        parse=parse,
        metavar=f"{item.metavar}[,…]",
    )


def pairs(key: str, item: Kind[T]) -> Kind[Mapping[str, T]]:
    """Accept ``key=item``, several times; in a variable separated by spaces."""

    def parse(given: str) -> Mapping[str, T]:
        left, _, right = given.partition("=")
        if not (left and right):
            raise ValueError
        return {left: item.parse(right)}

    return Kind(
        accepts=f"{key}={item.metavar}, several of them separated by spaces",
        parse=parse,
        metavar=f"{key}={item.metavar}",
        join=lambda parts: {left: each for part in parts for left, each in part.items()},
    )
