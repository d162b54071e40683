"""
Create, observe and delete the resource of one attempt and its pods.

It is created once, and deleted until no process runs. The informers' state counts; a request is
not taken for its effect. An object that the informers have never shown may be late, as when a
watch has died silently: then the API server is asked.
"""

import json
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta

from dataplane.agent.kube.client import Kube
from dataplane.agent.kube.errors import ExistsError, KubeError, NotFoundError
from dataplane.agent.kube.namespaces import NoNamespaceError
from dataplane.agent.kube.objects import (
    ATTEMPT_LABEL,
    GRACE_ANNOTATION,
    POD,
    SECRET,
    TASK_ACTION,
    Kind,
    Name,
    Object,
    label_attempt,
    name_attempt,
    name_of,
)
from dataplane.agent.runtimes.kubernetes import creation_errors, runtime_limits, statuses
from dataplane.agent.runtimes.kubernetes.attempt_secrets import list_secret_names
from dataplane.agent.runtimes.kubernetes.cluster import Cluster
from dataplane.agent.runtimes.kubernetes.creation_errors import Rejected
from dataplane.agent.runtimes.kubernetes.recorded_outcomes import (
    ANNOTATION,
    AttemptOutcome,
    find_outcome,
    render_outcome,
)
from shared.model.assignments import Assignment

logger = logging.getLogger(__name__)

_UNSEEN_FOR = timedelta(seconds=10)  # not in the informer after this long: ask the server

Pause = Callable[[timedelta], Awaitable[None]]


class Resource:
    def __init__(self, cluster: Cluster, kind: Kind, assignment: Assignment) -> None:
        self.name = _name_of_record(cluster, assignment) or name_attempt(
            assignment, cluster.namespaces
        )
        self.kind = kind
        self._cluster = cluster
        self._assignment = assignment
        self._attempt = str(assignment.attempt)
        self._informer = cluster.informers[kind]
        self._in_informer = False  # by the informer, which then sees its deletion as well
        self._made: tuple[Object, datetime] | None = None  # created, and not in the informer yet
        self._is_new = False  # this agent created it
        self._made_secrets: set[str] = set()

    def recall_name(self) -> None:
        """Take over the name of the existing object: an earlier release used another scheme."""
        if self._informer.get(self.name) is None:
            for earlier in self._informer.of_attempt(self._attempt):
                self.name = name_of(earlier)

    def pods(self) -> Sequence[Object]:
        """Return the attempt's pods, the one of its own name first."""
        pods = self._cluster.pods.of_attempt(self._attempt)
        return sorted(pods, key=lambda pod: (name_of(pod) != self.name, name_of(pod)))

    def last_pod(self) -> Object | None:
        """Return the pod of a plain task as it is, or as it was when it was deleted."""
        if self.kind != POD:
            return None
        classify_deleted = self._cluster.pods.deleted_of_attempt(self._attempt)
        return next(
            (pod for pod in (*self.pods(), *classify_deleted) if name_of(pod) == self.name), None
        )

    def events(self) -> Sequence[Object]:
        return self._cluster.events.of_attempt(self._attempt)

    def was_seen(self) -> bool:
        """Return whether the resource exists, or the cluster has emitted an event about it."""
        return self._informer.get(self.name) is not None or any(
            event["involvedObject"].get("kind") in {self.kind.name, POD.name}
            for event in self.events()
        )

    def is_quiet(self, *, trusted: bool) -> bool:
        """
        Return whether no process of the resource runs any more, so that it may be kept to
        look at.

        ``trusted``: a terminal status of the resource suffices, if it has one; an operator
        whose job failed may still create pods.
        """
        pods = self.pods()
        if self.kind != POD and not trusted:
            return False
        return all(statuses.is_quiet(pod) for pod in pods)

    async def see(self) -> Object | None:
        """Return the resource as last observed; None once it is gone."""
        found = self._informer_state()
        if found is not None or self._in_informer:
            return found
        if self._made is None:
            return await self._get()
        made, at = self._made
        if self._cluster.clock.now() - at < _UNSEEN_FOR:
            return made
        return await self._get()

    async def make(self, built: Object, secrets: Sequence[Object] = ()) -> Rejected | None:
        """Create the resource after its ``secrets``, once; return why it is rejected."""
        kube = self._cluster.kube.with_retry_timeout(
            timedelta(0)
        )  # the caller has to react to a stop as well
        self._is_new = True
        try:
            await self._cluster.ensure(self.name.namespace, self._assignment)
            await self._cluster.prepare(self.name.namespace)
            await self._make_secrets(kube, secrets)
            body = await self._owned(kube, built)
            size = len(json.dumps(body))
            if size > runtime_limits.OBJECT_BYTES:
                return creation_errors.too_large(size, runtime_limits.OBJECT_BYTES)
            async with self._cluster.writes:
                made = await kube.create(self.kind, body)
        except ExistsError:
            return await self._adopt(kube)
        except NoNamespaceError as error:
            return creation_errors.without_namespace(error)
        except KubeError as error:
            return creation_errors.classify(error, self.kind)
        self._in_informer, self._made = False, (made, self._cluster.clock.now())
        return None

    async def _make_secrets(self, kube: Kube, secrets: Sequence[Object]) -> None:
        """Create the attempt's Secrets; one that exists, of an earlier agent, is replaced."""
        for secret in secrets:
            name = Name(self.name.namespace, secret["metadata"]["name"])
            if name.name in self._made_secrets:
                continue
            body = await self._owned(kube, secret, name)
            async with self._cluster.writes:
                try:
                    await kube.create(SECRET, body)
                except ExistsError:
                    await kube.delete(SECRET, name)
                    await kube.create(SECRET, body)
            self._made_secrets.add(name.name)

    async def remove_secrets(self) -> None:
        """Delete the attempt's Secrets; its TaskAction takes along those that remain."""
        # Of an attempt that an earlier agent began, it is not known which there are.
        for name in sorted(self._made_secrets) if self._is_new else list_secret_names(self.name):
            try:
                async with self._cluster.writes:
                    await self._cluster.kube.delete(SECRET, Name(self.name.namespace, name))
            except KubeError as error:
                self._warn("Secret of an attempt not deleted, its TaskAction takes it along", error)

    async def remove(self, grace: timedelta | None, pause: Pause) -> None:
        """
        Delete the resource and its pods; return when none of their processes runs.

        ``grace`` None: their own grace periods.
        """
        asked: set[str] = set()
        while remaining := await self._remaining():
            due: list[datetime] = []
            for obj in remaining:
                if obj["metadata"]["uid"] not in asked:
                    if await self._delete(obj, _seconds_to_end(obj, grace)):
                        asked.add(obj["metadata"]["uid"])
                elif at := await self.release_lost(obj):
                    due.append(at)
            now = self._cluster.clock.now()
            await pause(min([runtime_limits.RECONCILE_INTERVAL, *(at - now for at in due)]))

    async def release_lost(self, obj: Object) -> datetime | None:
        """
        Remove the object of a pod whose node does not answer: no one else ever would.

        Return when that is due, if it is not yet.
        """
        expected = statuses.deletion_deadline(obj)
        if not _is_pod(obj) or expected is None:
            return None
        due = expected + self._cluster.lost_after
        if self._cluster.clock.now() < due:
            return due
        logger.warning("node lost, removing its pod", extra={"pod": str(name_of(obj))})
        await self._delete(obj, 0)
        return None

    async def find_outcome(self) -> AttemptOutcome | None:
        """
        Return the outcome that an earlier agent recorded before it began to delete the
        resource.

        Retried until there is an answer: a refused request must not end a running attempt.
        """
        kube = self._cluster.kube.with_retry_timeout(None)
        while True:
            try:
                return find_outcome(await self._find_owner(kube))
            except NotFoundError:
                return None
            except KubeError as error:
                self._warn("recorded outcome not read, retrying", error)
            await self._cluster.clock.sleep(runtime_limits.RECONCILE_INTERVAL)

    async def record_outcome(self, outcome: AttemptOutcome) -> None:
        body = {"metadata": {"annotations": {ANNOTATION: render_outcome(outcome)}}}
        try:
            async with self._cluster.writes:
                kept = await self._cluster.kube.patch(TASK_ACTION, self.name, body)
            self._cluster.owners.note_object(self._assignment.attempt, kept)
        except KubeError as error:
            self._warn("outcome not recorded, an agent restart now would lose it", error)

    async def _owned(self, kube: Kube, built: Object, name: Name | None = None) -> Object:
        """Add the fields common to all kinds: name, labels, and the TaskAction as owner."""
        name = name or self.name
        metadata = {
            **built.get("metadata", {}),
            "name": name.name,
            "namespace": name.namespace,
        }
        metadata["labels"] = {**(metadata.get("labels") or {}), **label_attempt(self._assignment)}
        try:
            owner = await self._find_owner(kube)
        except NotFoundError as error:
            self._warn("TaskAction not found for attempt", error)
            return {**built, "metadata": metadata}
        metadata["ownerReferences"] = [
            {
                "apiVersion": TASK_ACTION.api_version,
                "kind": TASK_ACTION.name,
                "name": self.name.name,
                "uid": owner["metadata"]["uid"],
                "controller": True,
                "blockOwnerDeletion": False,
            }
        ]
        return {**built, "metadata": metadata}

    async def _find_owner(self, kube: Kube) -> Object:
        """Return the attempt's TaskAction, at least its metadata; NotFoundError without one."""
        known = self._cluster.owners.find_object(self._assignment.attempt)
        if known is not None and name_of(known) == self.name:
            return known
        return await kube.get(TASK_ACTION, self.name)

    async def _adopt(self, kube: Kube) -> Rejected | None:
        """Adopt the existing object if it is this attempt's."""
        try:
            found = await kube.get(self.kind, self.name)
        except NotFoundError:
            return None  # it was an earlier creation of the agent's, and has been deleted since
        except KubeError as error:
            return creation_errors.classify(error, self.kind)
        if not self._is_own(found):
            return creation_errors.taken(str(self.name), self.kind)
        self._in_informer, self._made = False, (found, self._cluster.clock.now())
        return None

    async def _remaining(self) -> Sequence[Object]:
        """Return what has to be deleted: the resource, and once it is gone its remaining pods."""
        resource = self._informer_state()
        if resource is None and not self._in_informer:
            resource = await self._get()  # not in the informer yet, or already gone
        return [
            obj
            for obj in ([resource] if resource is not None else self.pods())
            if not (_is_pod(obj) and statuses.is_being_deleted(obj) and statuses.has_ended(obj))
        ]

    def _informer_state(self) -> Object | None:
        found = self._informer.get(self.name)
        if found is not None:
            self._in_informer, self._made = True, None
        return found

    async def _get(self) -> Object | None:
        """Return the resource from the API server; None if it is gone, or another attempt's."""
        while True:
            try:
                found = await self._cluster.kube.get(self.kind, self.name)
            except NotFoundError:
                break
            except KubeError as error:
                self._warn("resource not read, retrying", error)
                if self._made is None:
                    await self._cluster.clock.sleep(runtime_limits.RECONCILE_INTERVAL)
                    continue
                found = self._made[0]
            if not self._is_own(found):
                break
            self._made = (found, self._cluster.clock.now())
            return found
        self._in_informer, self._made = True, None
        return None

    def _is_own(self, found: Object) -> bool:
        return (found["metadata"].get("labels") or {}).get(ATTEMPT_LABEL) == self._attempt

    async def _delete(self, obj: Object, seconds: int | None) -> bool:
        kind = POD if _is_pod(obj) else self.kind
        try:
            async with self._cluster.writes:
                await self._cluster.kube.delete(
                    kind, name_of(obj), uid=obj["metadata"]["uid"], grace=seconds
                )
        except KubeError as error:
            self._warn("resource not deleted, retrying", error)
            return False
        return True

    def _warn(self, what: str, error: KubeError) -> None:
        logger.warning(what, extra={"resource": str(self.name), "detail": str(error)})


def _name_of_record(cluster: Cluster, assignment: Assignment) -> Name | None:
    """
    Return the name of the attempt's TaskAction, unless it had to be kept in the agent's
    namespace.
    """
    record = cluster.owners.find_object(assignment.attempt)
    if record is None or name_of(record).namespace == cluster.templates.agent_namespace:
        return None
    return name_of(record)


def _seconds_to_end(obj: Object, grace: timedelta | None) -> int | None:
    """
    Return the grace period in seconds for a task's pod; None leaves it to the object's own
    spec.
    """
    if grace is None or not _is_pod(obj):
        return None
    asked = str((obj["metadata"].get("annotations") or {}).get(GRACE_ANNOTATION, ""))
    return int(asked) if asked.isascii() and asked.isdigit() else round(grace.total_seconds())


def _is_pod(obj: Object) -> bool:
    return obj.get("kind") == POD.name
