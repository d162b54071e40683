"""Validation of names of projects, domains, runs, actions, queues and pools."""

from collections.abc import Callable

import pytest

from controlplane.core.errors import InvalidError
from controlplane.core.layout import RESERVED_PROJECTS
from controlplane.core.names import (
    parse_action,
    parse_cluster,
    parse_domain,
    parse_pool,
    parse_project,
    parse_queue,
    parse_run,
)


@pytest.mark.parametrize(
    ("parse", "name"),
    [
        (parse_project, "p"),
        (parse_project, "0-project"),
        (parse_project, "p" * 63),
        (parse_domain, "development"),
        (parse_run, "r" * 30),
        (parse_action, "A.b_c-1"),
        (parse_queue, "gpu-1"),
        (parse_cluster, "eu-1"),
        (parse_pool, "gpu-1"),
        (parse_pool, ""),
    ],
)
def test_valid_name_is_accepted_unchanged(parse: Callable[[str], str], name: str) -> None:
    assert parse(name) == name


@pytest.mark.parametrize(
    ("parse", "name", "why"),
    [
        (parse_project, "p" * 64, "longer than 63"),
        (parse_project, "", "must consist of"),
        (parse_project, "Project", "small letters"),
        (parse_project, "-p", "begin with a letter or digit"),
        (parse_project, "p\n", "must consist of"),
        (parse_project, min(RESERVED_PROJECTS), "choose another name"),
        (parse_domain, "a/b", "domain name 'a/b'"),
        (parse_run, "1r", "begin with a letter "),
        (parse_run, "r" * 31, "longer than 30"),
        (parse_action, "a/../b", "letters, digits, dots"),
        (parse_queue, "default", "no limits"),
        (parse_queue, "", "queue name"),
        (parse_pool, "Pool", "pool name"),
    ],
)
def test_invalid_name_is_refused_naming_the_rule(
    parse: Callable[[str], str], name: str, why: str
) -> None:
    with pytest.raises(InvalidError, match=why):
        parse(name)
