"""Administrative acts outside of identity are in the audit log, whichever API or command does them."""

from collections.abc import Awaitable, Callable, Mapping

import pytest

from controlplane.core.callers import EVERYTHING, Caller, org_wide
from controlplane.core.errors import RequestError
from controlplane.core.projects import Project, ProjectState
from controlplane.core.queues import QueueChange
from controlplane.core.secrets import SecretType
from controlplane.usecases.clusters import Clusters
from controlplane.usecases.projects import Projects
from controlplane.usecases.queues import Queues
from controlplane.usecases.secret_keys import SecretKeys
from controlplane.usecases.secrets import Secrets
from shared.kit.clock import SystemClock
from shared.kit.secrets import SecretBytes
from shared.model.ids import ProjectName
from shared.model.secrets import SecretName
from shared.secrets.keyrings import AesKey
from tests.integration.api.client import CLUSTER, ORG, PROJECT
from tests.integration.platform.world import World

VALUE = SecretBytes(b"canary-7f3a")
TOKEN = SecretName(org=ORG, project=PROJECT, domain="development", name="token")
WIDE = SecretName(org=ORG, name="token")
MADE = Project(id=ProjectName("made"), name="Made")
ARCHIVED = Project(id=ProjectName("made"), name="Made", state=ProjectState.ARCHIVED)


class Acts:
    """The use cases, as one caller with all permissions."""

    def __init__(self, world: World) -> None:
        database, clock = world.database, SystemClock()
        self.caller = Caller(
            subject=world.ada.subject, org=ORG, name="Ada", grants=org_wide(EVERYTHING)
        )
        self.projects = Projects(database, clock)
        self.secrets = Secrets(database, clock, SecretKeys([AesKey(SecretBytes(b"k" * 32))]))
        self.queues = Queues(database, clock)
        self.clusters = Clusters(database, clock)


Act = Callable[[Acts], Awaitable[object]]
Expected = tuple[str, str, Mapping[str, str]]
ACTS: list[tuple[Act, Expected]] = [
    (lambda a: a.projects.create(a.caller, MADE), ("project.create", "project:made", {})),
    (
        lambda a: a.projects.update(a.caller, ARCHIVED),
        ("project.update", "project:made", {"state": "archived"}),
    ),
    (
        lambda a: a.secrets.create(a.caller, TOKEN, SecretType.GENERIC, VALUE),
        ("secret.create", f"secret:{PROJECT}/development/token", {"type": "generic"}),
    ),
    (
        lambda a: a.secrets.create(a.caller, WIDE, SecretType.GENERIC, VALUE),
        ("secret.create", "secret://token", {"type": "generic"}),
    ),
    (
        lambda a: a.secrets.update(a.caller, WIDE, SecretType.GENERIC, VALUE),
        ("secret.update", "secret://token", {}),
    ),
    (lambda a: a.secrets.delete(a.caller, WIDE), ("secret.delete", "secret://token", {})),
    (
        lambda a: a.queues.set(a.caller, "q", QueueChange(depth=7)),
        ("queue.set", "queue:q", {"depth": "7"}),
    ),
    (lambda a: a.queues.delete(a.caller, "q", move_to=None), ("queue.delete", "queue:q", {})),
    (lambda a: a.clusters.cordon(a.caller, CLUSTER), ("cluster.cordon", "cluster:local", {})),
    (lambda a: a.clusters.uncordon(a.caller, CLUSTER), ("cluster.uncordon", "cluster:local", {})),
    (
        lambda a: a.clusters.move(a.caller, CLUSTER, "gpu"),
        ("cluster.move", "cluster:local", {"pool": "gpu"}),
    ),
    (lambda a: a.clusters.drain(a.caller, CLUSTER), ("cluster.drain", "cluster:local", {})),
    (
        lambda a: a.clusters.stop_rest(a.caller, CLUSTER),
        ("cluster.stop_attempts", "cluster:local", {"attempts": "0"}),
    ),
]


async def records(world: World) -> list[tuple[str, str, str, Mapping[str, str]]]:
    answer = await world.ada.call("AuditService/ListAuditRecords", pageSize=200)
    return [
        (each["actor"], each["action"], each["target"], each.get("detail", {}))
        for each in reversed(answer.get("records", []))
    ]


async def test_acts_are_recorded_with_their_actor_and_without_values(world: World) -> None:
    acts = Acts(world)
    for act, _ in ACTS:
        await act(acts)
    recorded = await records(world)
    assert recorded == [(world.ada.subject, *expected) for _, expected in ACTS]
    assert "canary" not in str(recorded)


@pytest.mark.parametrize(
    "act",
    [
        lambda a: a.projects.create(a.caller, Project(id=ProjectName(PROJECT), name="x")),
        lambda a: a.projects.update(a.caller, MADE),
        lambda a: a.secrets.delete(a.caller, TOKEN),
        lambda a: a.queues.delete(a.caller, "q", move_to=None),
        lambda a: a.clusters.stop_rest(a.caller, CLUSTER),
    ],
    ids=["project exists", "no such project", "no such secret", "no such queue", "not drained"],
)
async def test_act_that_fails_leaves_no_record(world: World, act: Act) -> None:
    with pytest.raises(RequestError):
        await act(Acts(world))
    assert await records(world) == []
