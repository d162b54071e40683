"""
A pytest plugin: hands tests out to the workers of xdist one by one, but keeps some together.

Tests that share a server, an installation or other costly fixture run in one worker, where it is
made once: those are fixtures of a module or package, and those of a session, except the servers
that each worker has. The groups come first, because they cannot be shared out at the end.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

import pytest
from _pytest.nodeid import NodeId
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

_OF_EACH_WORKER = frozenset({"postgres_server", "s3_server"})
_SLOWEST = "kube_node"  # its tests wait for pods: seconds each
_SHARED_SCOPES = ("session", "package", "module")
_MARK = "@with "  # between a test's id and its group


class GroupScheduling(LoadScopeScheduling):  # type: ignore[misc]
    """Hands out groups and single tests in the order of the collection."""

    def _split_scope(self, nodeid: str) -> str:
        _, mark, group = nodeid.rpartition(_MARK)
        return group if mark else nodeid


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> GroupScheduling:
    config.option.loadscopereorder = False
    return GroupScheduling(config, log)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Append the group to the ids of tests, for the scheduler, which knows nothing but ids."""
    if not hasattr(config, "workerinput"):
        return
    fixtures = {item: frozenset(_shared_fixtures(item)) for item in items}
    groups = group_by_shared(fixtures.values())
    of = {item: groups[min(used)] for item, used in fixtures.items() if used}
    for item, group in of.items():
        item._id = NodeId.parse(f"{item.nodeid}{_MARK}{group}")  # pytest has no public way
    place = {group: number for number, group in enumerate(order(of.values()))}
    items.sort(key=lambda item: place[of[item]] if item in of else len(place))


def order(groups: Iterable[str]) -> Sequence[str]:
    """Order the groups of tests: the slowest first, then the others by their size."""
    sizes = Counter(groups)
    return sorted(sizes, key=lambda group: (not group.endswith(_SLOWEST), -sizes[group], group))


def group_by_shared(sets: Iterable[frozenset[str]]) -> Mapping[str, str]:
    """Map each name to the first name that it is connected with by the sets that hold both."""
    above: dict[str, str] = {}

    def find(name: str) -> str:
        while above.setdefault(name, name) != name:
            name = above[name]
        return name

    for names in sets:
        for name in names:
            first, other = sorted((find(min(names)), find(name)))
            above[other] = first
    return {name: find(name) for name in list(above)}


def _shared_fixtures(item: pytest.Item) -> Iterator[str]:
    """List the costly fixtures of ours that a test shares with others, by where they are valid."""
    if not isinstance(item, pytest.Function):
        return
    for name, found in item._fixtureinfo.name2fixturedefs.items():
        for fixture in found:
            is_ours = fixture.func.__module__.startswith("tests.")
            if is_ours and fixture.scope in _SHARED_SCOPES and name not in _OF_EACH_WORKER:
                yield f"{fixture.baseid}:{name}"
