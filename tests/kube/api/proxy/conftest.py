"""An API proxy before a control plane that the test plays."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.kube.api.proxy.control import Control, played
from tests.kube.api.proxy.world import World, world
from tests.kube.controlplane import KubeForTests


@pytest.fixture
async def control() -> AsyncIterator[Control]:
    async with played() as control:
        yield control


@pytest.fixture
async def here(kube_api: KubeForTests, control: Control, tmp_path: Path) -> AsyncIterator[World]:
    async with world(kube_api, tmp_path, control.url) as made:
        yield made
