"""The scheduler where a run cannot be created: full and locked queues, archived projects, bugs."""

from flyteidl2.project.project_service_pb2 import Project, ProjectState, UpdateProjectRequest
from sqlalchemy import text

from controlplane.api.convert.triggers import build_run
from controlplane.core.queues import Queue
from controlplane.core.runs import NewRun
from controlplane.core.scoped_settings import Effective
from controlplane.core.triggers import RETRY_AFTER, DueTrigger
from controlplane.store.resources.queues import save_queue
from shared.model.ids import OrgName
from tests.integration.api.client import ORG, PROJECT, ApiUnderTest
from tests.integration.api.triggers import (
    deploy_scheduled,
    of_task,
)
from tests.integration.loops.scheduling import (
    MINUTE,
    SetClock,
    api,
    clock,
    first_instant,
    instants,
    make,
    rows,
    state,
)

__all__ = ["api", "clock"]


async def test_full_queue_delays_a_scheduled_run_until_there_is_room(
    api: ApiUnderTest, clock: SetClock
) -> None:
    async with api.database.for_org(ORG) as tx:
        await save_queue(tx, Queue(name="narrow", depth=1), clock.time)
    request = deploy_scheduled(of_task("a"), of_task("b"))
    for trigger in request.triggers:
        trigger.spec.run_spec.queue = "narrow"
    await api.tasks.deploy_task(request)
    clock.time = await first_instant(api)

    assert await make(api, clock).run_once() == 1
    waiting = await rows(api, "SELECT error FROM triggers WHERE fire_at < wake_at")
    assert waiting == [("queue narrow is full",)]
    async with api.database.for_org(ORG) as tx:
        await save_queue(tx, Queue(name="narrow", depth=2), clock.time)
    assert await make(api, clock).run_once() == 0
    clock.time += RETRY_AFTER
    assert await make(api, clock).run_once() == 1

    assert await rows(api, "SELECT DISTINCT error, skipped FROM triggers") == [("", 0)]
    assert len(await instants(api)) == 2


async def test_trigger_in_an_archived_project_is_skipped_with_the_reason(
    api: ApiUnderTest, clock: SetClock
) -> None:
    await api.tasks.deploy_task(deploy_scheduled(of_task()))
    archived = Project(id=PROJECT, name=PROJECT, state=ProjectState.PROJECT_STATE_ARCHIVED)
    await api.projects.update_project(UpdateProjectRequest(project=archived))
    clock.time = await first_instant(api) + 2 * MINUTE

    assert await make(api, clock).run_once() == 0

    assert await state(api) == (3, f"project {PROJECT} is archived")
    assert await first_instant(api) == clock.time + MINUTE


async def test_trigger_whose_queue_was_deleted_is_skipped_with_the_reason(
    api: ApiUnderTest, clock: SetClock
) -> None:
    async with api.database.for_org(ORG) as tx:
        await save_queue(tx, Queue(name="fast"), clock.time)
    request = deploy_scheduled(of_task())
    request.triggers[0].spec.run_spec.queue = "fast"
    await api.tasks.deploy_task(request)
    await rows(api, "DELETE FROM queues RETURNING 1")
    clock.time = await first_instant(api)

    assert await make(api, clock).run_once() == 0

    assert await state(api) == (1, "there is no queue fast")


async def test_trigger_that_fails_by_a_bug_delays_no_other_and_is_tried_again(
    api: ApiUnderTest, clock: SetClock
) -> None:
    await api.tasks.deploy_task(deploy_scheduled(of_task("bad"), of_task("good")))
    clock.time = await first_instant(api)

    def fail(due: DueTrigger, spec: bytes, settings: Effective, org: OrgName) -> NewRun:
        if due.row.key.name == "bad":
            raise ZeroDivisionError
        return build_run(due, spec, settings, org, base=api.blobs.base)

    assert await make(api, clock, fail).run_once() == 1
    clock.time += RETRY_AFTER
    assert await make(api, clock).run_once() == 1

    assert {name for _, name, _ in await instants(api)} == {"bad", "good"}


async def test_trigger_or_queue_that_is_locked_delays_no_other(
    api: ApiUnderTest, clock: SetClock
) -> None:
    async with api.database.for_org(ORG) as tx:
        await save_queue(tx, Queue(name="held"), clock.time)
    request = deploy_scheduled(of_task("locked"), of_task("queued"), of_task("free"))
    request.triggers[1].spec.run_spec.queue = "held"
    await api.tasks.deploy_task(request)
    clock.time = await first_instant(api)
    async with api.database.for_org(ORG) as tx:
        await tx.rows(text("SELECT 1 FROM triggers WHERE name = 'locked' FOR UPDATE"))
        await tx.rows(text("SELECT 1 FROM queues FOR UPDATE"))
        assert await make(api, clock).run_once() == 1
    assert {name for _, name, _ in await instants(api)} == {"free"}

    clock.time += RETRY_AFTER
    assert await make(api, clock).run_once() == 2


async def test_run_that_took_the_name_of_a_scheduled_one_is_reported(
    api: ApiUnderTest, clock: SetClock
) -> None:
    await api.tasks.deploy_task(deploy_scheduled(of_task()))
    clock.time = await first_instant(api)
    await make(api, clock).run_once()
    await rows(api, "UPDATE runs SET trigger_name = '' RETURNING 1")
    await rows(
        api,
        "UPDATE triggers SET fire_at = r.started_at, wake_at = r.started_at FROM runs r RETURNING 1",
    )

    assert await make(api, clock).run_once() == 0

    skipped, error = await state(api)
    assert skipped == 1
    assert "another run has the name" in str(error)
