"""Fixtures: a ledger in a cluster, which can be closed and reopened."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from dataplane.agent.kube.client import Kube
from dataplane.agent.kube.namespaces import Namespaces
from dataplane.agent.ledger.ledger import Ledger
from dataplane.agent.ledger.taskactions.journal import TaskActionJournal
from shared.kit.clock import SystemClock

OpenWith = Callable[[Kube], AbstractAsyncContextManager[Ledger]]


def open_journal(
    kube: Kube,
    place: str,
    *,
    template: str = "",
    retention: timedelta = timedelta(minutes=10),
    create: bool = False,
) -> AbstractAsyncContextManager[TaskActionJournal]:
    """Open the journal of the agent in ``place``, where its attempts run as well."""
    return TaskActionJournal.open(
        kube,
        agent_namespace=place,
        namespace_template=template or place,
        namespaces=Namespaces(
            kube, own=place, template=template or place, create=create, clock=SystemClock()
        ),
        retention=retention,
        clock=SystemClock(),
    )


@asynccontextmanager
async def open_ledger(kube: Kube, place: str, **how: Any) -> AsyncIterator[Ledger]:
    """Open that agent's ledger; ``how`` as for the journal."""
    async with open_journal(kube, place, **how) as journal:
        ledger = Ledger(journal)
        await ledger.load()
        yield ledger


@pytest.fixture
def open_with(place: str, task_actions: None) -> OpenWith:
    del task_actions
    return lambda kube: open_ledger(kube, place)
