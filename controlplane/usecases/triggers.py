"""Use cases of triggers: deploy, activate and delete them."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from controlplane.core import triggers as rules
from controlplane.core.callers import Caller, Permission
from controlplane.core.errors import (
    ExhaustedError,
    InvalidError,
    NotAllowedError,
    NotFoundError,
    NotReadyError,
    QueueNotFoundError,
)
from controlplane.core.queues import DEFAULT
from controlplane.core.scoped_settings import Effective
from controlplane.core.tasks import NewTask, TaskKey
from controlplane.core.triggers import (
    MOST_TRIGGERS,
    NewTrigger,
    Origin,
    TriggerKey,
    TriggerRequest,
    TriggerRow,
)
from controlplane.store.database import Database, OrgTx
from controlplane.store.resources import triggers as store
from controlplane.store.resources.queues import find_status
from controlplane.usecases.data import Data
from controlplane.usecases.deliveries import Deliveries
from controlplane.usecases.quotas import require_triggers
from controlplane.usecases.run_access import require_run_access
from controlplane.usecases.scoped_settings import ScopedSettings
from controlplane.usecases.tasks import Tasks, require_project
from controlplane.usecases.trigger_reader import TriggerReader, with_profiles
from shared.kit.clock import Clock
from shared.model.ids import DomainName, ProjectName

log = logging.getLogger(__name__)

MOST_NAMES = 100
"""Triggers that one call changes."""
MAX_INPUTS = 1024 * 1024
"""Bytes of a trigger's inline inputs."""


class Triggers(TriggerReader):
    """
    Use cases of triggers.

    A trigger starts runs of a task later, so deploying or activating it takes the permissions to
    deploy tasks and to create runs.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        *,
        tasks: Tasks,
        data: Data,
        settings: ScopedSettings,
        deliveries: Deliveries,
    ) -> None:
        super().__init__(database)
        self._clock = clock
        self._tasks = tasks
        self._data = data
        self._settings = settings
        self._deliveries = deliveries

    async def deploy(
        self,
        caller: Caller,
        key: TriggerKey,
        task_version: str,
        parse: Callable[[bytes, Effective], TriggerRequest],
        *,
        revision: int,
    ) -> TriggerRow:
        """
        Deploy a trigger of a deployed task; idempotent. Returns the trigger.

        ``parse`` builds the request from the TaskSpec and the settings of the project and domain,
        so that what they forbid is refused; they apply when a run starts. ``revision``: 0, or the one that the caller
        has read; NotReadyError if that is not the latest. InvalidError, NotFoundError (task,
        project, queue), ExhaustedError (too many triggers).
        """
        self._require_write(caller, key.project, key.domain)
        task = TaskKey(key.project, key.domain, key.task_name, task_version)
        spec = (await self._tasks.get(caller, task)).spec
        request = parse(spec, await self._settings.resolve(caller.org, key.project, key.domain))
        [new] = await self._prepare(caller, [request])
        async with self._database.for_org(caller.org) as tx:
            await require_project(tx, key.project)
            rows = await store.lock_task(tx, key.project, key.domain, key.task_name)
            known = {each.key: each for each in rows}
            latest = known.get(key)
            if latest is not None and revision not in (0, latest.revision):
                raise NotReadyError(
                    f"trigger {key} has revision {latest.revision}, not {revision};"
                    " read it again and decide again"
                )
            saved = await self._save(tx, caller, [new], known)
            [row] = await with_profiles(tx, saved)
        log.info("trigger deployed", extra={"trigger": str(key), "by": caller.subject})
        return row

    async def deploy_task(
        self,
        caller: Caller,
        task: NewTask,
        parse: Callable[[Effective], Sequence[TriggerRequest]] | None,
    ) -> None:
        """
        Deploy a version of a task with its triggers, or nothing; idempotent.

        ``parse`` builds requests for all triggers that deployments of the task own (None: there
        are none): those that an earlier deployment brought and this one does not are deleted. A
        deployment by a task, which may deploy no triggers, leaves them as they are. Errors are
        those of ``Tasks.deploy`` and of ``deploy``.
        """
        key = task.key
        caller.require(Permission.TASK_DEPLOY, key.project, key.domain)
        if caller.attempt is not None:
            if parse is not None:
                raise NotAllowedError(
                    "a task may deploy no triggers; deploy them from outside, or leave them out"
                )
            await self._tasks.deploy(caller, task)
            return
        deployed: Sequence[NewTrigger] = ()
        if parse is not None:
            effective = await self._settings.resolve(caller.org, key.project, key.domain)
            deployed = await self._prepare(caller, parse(effective))
        also = partial(self._deploy_of_task, caller=caller, task=key, deployed=deployed)
        await self._tasks.deploy(caller, task, also=also)

    async def _deploy_of_task(
        self, tx: OrgTx, *, caller: Caller, task: TaskKey, deployed: Sequence[NewTrigger]
    ) -> None:
        rows = await store.lock_task(tx, task.project, task.domain, task.name)
        named = {new.key for new in deployed}
        now = self._clock.now()
        gone = [
            rules.delete(row, by=caller.subject, now=now)
            for row in rows
            if row.key not in named and row.deleted_at is None and row.origin is Origin.DEPLOYMENT
        ]
        await self._save(tx, caller, deployed, {row.key: row for row in rows}, gone=gone)

    async def _prepare(
        self, caller: Caller, requests: Sequence[TriggerRequest]
    ) -> Sequence[NewTrigger]:
        """Check that the runs of new triggers could start, and store their inputs."""
        deployed: list[NewTrigger] = []
        for request in requests:
            new, run = request.new, request.run
            self._require_write(caller, new.key.project, new.key.domain)
            if new.artifact is not None:
                caller.require(Permission.ARTIFACT_READ, new.key.project, new.key.domain)
            require_run_access(self._data.access, caller, run.new)
            await self._deliveries.require(self._database, caller.org, run.new.notifications)
            await self._data.require_code(caller, run.code_bundle)
            if run.inputs is not None:
                if len(run.inputs.body) > MAX_INPUTS:
                    raise InvalidError(
                        f"trigger {new.key.name}: the inputs have {len(run.inputs.body)} bytes;"
                        f" at most {MAX_INPUTS} are allowed: pass large data as files"
                    )
                new = replace(new, input_uri=self._data.locate_inputs(caller, run.inputs))
                await self._data.store_inputs(new.input_uri, run.inputs.body)
            deployed.append(new)
        queues = {request.run.new.queue for request in requests} - {DEFAULT}
        if queues:
            async with self._database.for_org(caller.org) as tx:
                for name in sorted(queues):
                    if await find_status(tx, name) is None:
                        raise QueueNotFoundError(name)
        return deployed

    async def set_active(self, caller: Caller, keys: Sequence[TriggerKey], *, active: bool) -> None:
        """Activate or deactivate all of these triggers, or none; NotFoundError names the unknown."""
        async with self._database.for_org(caller.org) as tx:
            rows = await self._lock(tx, caller, keys)
            now = self._clock.now()
            changed = [
                rules.set_active(row, active=active, by=caller.subject, now=now)
                for row in rows
                if row.active != active
            ]
            await store.save_triggers(tx, changed)
        for row in changed:
            log.info(
                "trigger activated" if active else "trigger deactivated",
                extra={"trigger": str(row.key), "by": caller.subject},
            )

    async def delete(self, caller: Caller, keys: Sequence[TriggerKey]) -> None:
        """Delete all of these triggers, or none; their revisions stay readable for a while."""
        async with self._database.for_org(caller.org) as tx:
            rows = await self._lock(tx, caller, keys)
            now = self._clock.now()
            deleted = [rules.delete(row, by=caller.subject, now=now) for row in rows]
            await store.save_triggers(tx, deleted)
        for row in deleted:
            log.info("trigger deleted", extra={"trigger": str(row.key), "by": caller.subject})

    def _require_write(self, caller: Caller, project: ProjectName, domain: DomainName) -> None:
        caller.require(Permission.TASK_DEPLOY, project, domain)
        caller.require(Permission.RUN_CREATE, project, domain)

    async def _lock(
        self, tx: OrgTx, caller: Caller, keys: Sequence[TriggerKey]
    ) -> Sequence[TriggerRow]:
        if len(keys) > MOST_NAMES:
            raise InvalidError(f"names: at most {MOST_NAMES} triggers, not {len(keys)}")
        for key in keys:
            self._require_write(caller, key.project, key.domain)
        found = await store.lock_triggers(tx, keys)
        missing = sorted({key for key in keys if key not in found})
        if missing:
            raise NotFoundError("trigger", ", ".join(map(str, missing)))
        return list(found.values())

    async def _save(
        self,
        tx: OrgTx,
        caller: Caller,
        deployed: Sequence[NewTrigger],
        known: Mapping[TriggerKey, TriggerRow],
        *,
        gone: Sequence[TriggerRow] = (),
    ) -> Sequence[TriggerRow]:
        """Save the triggers that change, and ``gone``; ``known`` are those of the task, locked."""
        now = self._clock.now()
        rows = [
            rules.deploy(new, known.get(new.key), by=caller.subject, now=now) for new in deployed
        ]
        added = [
            new for new in deployed if new.key not in known or known[new.key].deleted_at is not None
        ]
        if added:
            # Deployments of two tasks at once may exceed this by what one of them adds.
            project, domain = added[0].key.project, added[0].key.domain
            most = MOST_TRIGGERS - len(added) + 1
            if await store.count_triggers(tx, project, domain, most=most) >= most:
                raise ExhaustedError(
                    f"project {project}, domain {domain} would have more than {MOST_TRIGGERS}"
                    " triggers; delete some"
                )
            await require_triggers(tx, project, len(added))
        changed = [row for row in rows if known.get(row.key) is not row]
        await store.save_triggers(tx, [*gone, *changed])
        return rows
