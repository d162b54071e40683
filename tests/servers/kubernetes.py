"""
Kubernetes for tests, once a session: ``kube_api`` alone, or ``kube_node`` with containers.

``kube_api`` is etcd, the API server and the controllers of objects (namespaces, accounts,
garbage). Its pods stay Pending until the test plays the kubelet. ``kube_node`` is another,
whole cluster with a node in it, on which pods run. A machine that cannot have one skips its
tests and says why; under ``CI`` that is a failure. Logs stay when a test has failed.
"""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.kube import binary, controlplane, names, nodes
from tests.kube.controlplane import KubeForTests
from tests.programs import Program


@dataclass(frozen=True, slots=True)
class NodeForTests:
    """A cluster whose one node runs pods."""

    kube: KubeForTests
    place: nodes.Place
    kubelet: Program


@pytest.fixture(scope="session")
def kube_api(request: pytest.FixtureRequest) -> Iterator[KubeForTests]:
    _skip_unless_built()
    with _home(request) as home, controlplane.running(home / "control") as kube:
        yield kube


@pytest.fixture(scope="session")
def kube_node(request: pytest.FixtureRequest) -> Iterator[NodeForTests]:
    _skip_unless_built()
    if lacking := nodes.missing():
        pytest.skip(lacking)
    with (
        _home(request) as home,
        nodes.Place(home, nodes.free_network()).made() as place,
        controlplane.running(home / "control", at=place.network.machine, with_nodes=True) as kube,
        names.serving(kube, place.network.machine),
        nodes.running(kube, place, home) as kubelet,
    ):
        yield NodeForTests(kube, place, kubelet)


def _skip_unless_built() -> None:
    try:
        binary.find()
    except binary.NoKubernetesError as error:
        pytest.skip(str(error))


@contextmanager
def _home(request: pytest.FixtureRequest) -> Iterator[Path]:
    """Give a directory that stays behind when tests of the session have failed."""
    home = Path(tempfile.mkdtemp(prefix="volary-kube-"))
    try:
        yield home
    finally:
        if request.session.testsfailed:
            _say(request.config, f"Kubernetes' logs are in {home}")
        else:
            shutil.rmtree(home)


def _say(config: pytest.Config, words: str) -> None:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None:  # a worker of xdist has none
        reporter.write_line(words)
