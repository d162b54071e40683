"""Cached tasks for tests: their specs, runs and children, and an agent that writes outputs."""

from datetime import timedelta
from typing import Any

from flyteidl2.actions.actions_service_pb2 import EnqueueRequest
from flyteidl2.common.identifier_pb2 import ActionIdentifier, RunIdentifier
from flyteidl2.common.phase_pb2 import ActionPhase
from flyteidl2.common.run_pb2 import OffloadedInputData
from flyteidl2.core.catalog_pb2 import CatalogCacheStatus
from flyteidl2.core.types_pb2 import LiteralType, SimpleType
from flyteidl2.task.common_pb2 import Outputs
from flyteidl2.task.run_pb2 import CacheConfig, CacheLookupScope, RunSpec
from flyteidl2.task.task_definition_pb2 import TaskSpec
from flyteidl2.workflow.run_definition_pb2 import ActionDetails
from flyteidl2.workflow.run_service_pb2 import CreateRunRequest, GetActionDetailsRequest
from google.protobuf.duration_pb2 import Duration

from shared.model.phases import Phase
from tests.integration.api.client import DOMAIN, ORG, PROJECT, ApiUnderTest
from tests.integration.api.requests import action_id, enqueue, task_spec

SUCCEEDED, QUEUED = ActionPhase.ACTION_PHASE_SUCCEEDED, ActionPhase.ACTION_PHASE_QUEUED
HIT, MISS = CatalogCacheStatus.CACHE_HIT, CatalogCacheStatus.CACHE_MISS
POPULATED, SKIPPED = CatalogCacheStatus.CACHE_POPULATED, CatalogCacheStatus.CACHE_SKIPPED
DISABLED = CatalogCacheStatus.CACHE_DISABLED
PROJECT_ONLY = CacheLookupScope.CACHE_LOOKUP_SCOPE_PROJECT_DOMAIN


def cached_spec(
    name: str = "env.child",
    *,
    version: str = "1",
    max_age: timedelta | None = None,
    serialize: bool = False,
    ignored: tuple[str, ...] = (),
    kind: SimpleType.ValueType = SimpleType.INTEGER,
    retries: int = 0,
) -> TaskSpec:
    spec = task_spec(name, retries=retries)
    metadata = spec.task_template.metadata
    metadata.discoverable = True
    metadata.discovery_version = version
    metadata.cache_serializable = serialize
    metadata.cache_ignore_input_vars.extend(ignored)
    if max_age is not None:
        metadata.cache_max_age.CopyFrom(Duration(seconds=int(max_age.total_seconds())))
    outputs = spec.task_template.interface.outputs.variables
    outputs.add(key="o0").value.type.CopyFrom(LiteralType(simple=kind))
    return spec


def child(
    api: ApiUnderTest,
    name: str,
    *,
    key: str = "k1",
    run: str = "r1",
    project: str = PROJECT,
    parent: str = "a0",
    spec: TaskSpec | None = None,
) -> EnqueueRequest:
    request = enqueue(api, name, run=run, parent=parent, spec=spec or cached_spec())
    request.action.task.cache_key.value = key
    request.action.action_id.run.project = project
    return request


def run_in(
    project: str, name: str, *, domain: str = DOMAIN, spec: TaskSpec | None = None, **settings: Any
) -> CreateRunRequest:
    run = RunIdentifier(project=project, domain=domain, name=name)
    return CreateRunRequest(
        run_id=run,
        task_spec=spec or task_spec(),
        run_spec=RunSpec(cache_config=CacheConfig(**settings)),
    )


def cached_run(
    api: ApiUnderTest,
    name: str,
    *,
    inputs_hash: str = "h",
    spec: TaskSpec | None = None,
    **more: Any,
) -> CreateRunRequest:
    """Return the request for a run of a cached root, with inputs that were uploaded."""
    request = run_in(PROJECT, name, spec=spec or cached_spec("env.main"), **more)
    uri = f"{api.blobs.base}/{ORG}/{PROJECT}/{DOMAIN}/inputs/x/inputs.pb"
    request.offloaded_input_data.CopyFrom(OffloadedInputData(uri=uri, inputs_hash=inputs_hash))
    return request


async def details(
    api: ApiUnderTest, name: str = "a0", *, run: str = "r1", project: str = PROJECT
) -> ActionDetails:
    action: ActionIdentifier = action_id(name, run=run)
    action.run.project = project
    answer = await api.runs.get_action_details(GetActionDetailsRequest(action_id=action))
    found: ActionDetails = answer.details
    return found


async def run_everything(api: ApiUnderTest, *, only: str = "") -> list[str]:
    """Run the waiting actions as an agent would, with outputs; return their names."""
    names = []
    for each in await api.claim():
        name = f"{each.key.run.name}/{each.key.name}"
        names.append(name)
        if each.key.name == "a0" and only != "roots":
            await api.report(each, Phase.RUNNING)
            continue
        await api.blobs.write(f"{each.output_prefix}/outputs.pb", Outputs().SerializeToString())
        await api.report(each, Phase.RUNNING, Phase.SUCCEEDED)
    return sorted(names)
