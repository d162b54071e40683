"""
A request of every RPC, for the tests that go through all of them.

Both APIs have services of one name: those of the platform API are named ``platform.…`` here.
"""

from collections.abc import Callable, Mapping

from flyteidl2.actions import actions_service_pb2 as actions_pb
from flyteidl2.artifact import artifact_pb2, artifact_service_pb2 as artifact_pb
from flyteidl2.cacheservice.v2 import cacheservice_pb2 as cache_pb
from flyteidl2.common.identifier_pb2 import ActionAttemptIdentifier
from flyteidl2.dataproxy import dataproxy_service_pb2 as data_pb
from flyteidl2.org import domain_service_pb2 as domain_pb
from flyteidl2.project import project_service_pb2 as project_pb
from flyteidl2.secret import payload_pb2 as secret_pb
from flyteidl2.secret.definition_pb2 import SecretIdentifier
from flyteidl2.settings import settings_service_pb2 as settings_pb
from flyteidl2.settings.settings_definition_pb2 import Settings, SettingsKey
from flyteidl2.task import task_definition_pb2, task_service_pb2 as task_pb
from flyteidl2.trigger import trigger_service_pb2 as trigger_pb
from flyteidl2.workflow import (
    queue_service_pb2 as queue_pb,
    run_logs_service_pb2 as run_logs_pb,
    run_service_pb2 as run_pb,
    state_service_pb2 as state_pb,
)
from google.protobuf.message import Message

from tests.integration.api import platform_requests, tracked_requests
from tests.integration.api.client import DOMAIN, ORG, PROJECT, ApiUnderTest
from tests.integration.api.requests import (
    action_id,
    create_run,
    deploy,
    enqueue,
    project_id,
    run_id,
    task_id,
    task_spec,
)
from tests.integration.api.triggers import plain_trigger, trigger_id, trigger_name


def create_project(name: str) -> project_pb.CreateProjectRequest:
    return project_pb.CreateProjectRequest(project={"id": name, "name": name})


def upload() -> data_pb.CreateUploadLocationRequest:
    return data_pb.CreateUploadLocationRequest(
        project=PROJECT, domain=DOMAIN, content_md5=b"0" * 16, filename="f"
    )


def settings_key() -> SettingsKey:
    return SettingsKey(domain=DOMAIN, project=PROJECT)


def cache_place() -> cache_pb.Identifier:
    return cache_pb.Identifier(org=ORG, project=PROJECT, domain=DOMAIN)


def secret_id() -> SecretIdentifier:
    return SecretIdentifier(name="token", project=PROJECT, domain=DOMAIN)


def create_secret(project: str, name: str = "kept") -> secret_pb.CreateSecretRequest:
    return secret_pb.CreateSecretRequest(
        id=SecretIdentifier(name=name, project=project, domain=DOMAIN),
        secret_spec={"string_value": "s3cr3t"},
    )


def artifact_name(name: str = "model") -> artifact_pb2.ArtifactName:
    return artifact_pb2.ArtifactName(project=PROJECT, domain=DOMAIN, name=name)


def artifact_id(name: str = "model", version: str = "v1") -> artifact_pb2.ArtifactIdentifier:
    return artifact_pb2.ArtifactIdentifier(name=artifact_name(name), version=version)


def create_artifact(
    name: str = "model", version: str = "v1", uri: str = "s3://somewhere/v1"
) -> artifact_pb.CreateArtifactRequest:
    request = artifact_pb.CreateArtifactRequest(artifact_id=artifact_id(name, version))
    request.spec.value.scalar.blob.uri = uri
    request.spec.type.blob.format = "txt"
    return request


def partitioned_artifact() -> artifact_pb.CreateArtifactRequest:
    request = create_artifact()
    request.spec.partitions.value["region"].static_value = "eu"
    return request


def link_to(kind: int) -> data_pb.CreateDownloadLinkRequest:
    attempt = ActionAttemptIdentifier(action_id=action_id(), attempt=1)
    return data_pb.CreateDownloadLinkRequest(artifact_type=kind, action_attempt_id=attempt)


def older_enqueue(api: ApiUnderTest) -> queue_pb.EnqueueActionRequest:
    new = enqueue(api, "older").action
    return queue_pb.EnqueueActionRequest(
        action_id=new.action_id,
        parent_action_name="a0",
        input_uri=new.input_uri,
        run_output_base=new.run_output_base,
        task=new.task,
    )


def signal() -> run_pb.SignalEventRequest:
    payload = run_pb.EventPayload(bool_value=True)
    return run_pb.SignalEventRequest(
        action_id=action_id("cond"), parent_action_name="a0", payload=payload
    )


def older_signal() -> actions_pb.SignalRequest:
    request = actions_pb.SignalRequest(action_id=action_id("cond"), parent_action_name="a0")
    request.value.scalar.primitive.boolean = True
    return request


Make = Callable[[ApiUnderTest], Message]
PLATFORM = "platform."
"""Begins the names of the platform API's RPCs."""
REQUESTS: Mapping[str, Make] = {
    "CacheService/Put": lambda api: cache_pb.PutCacheRequest(
        identifier=cache_place(),
        base_request={
            "key": "k",
            "output": {"output_uri": f"{api.blobs.base}/{ORG}/{PROJECT}/{DOMAIN}/x"},
        },
    ),
    "CacheService/Get": lambda _: cache_pb.GetCacheRequest(
        identifier=cache_place(), base_request={"key": "k"}
    ),
    "CacheService/Delete": lambda _: cache_pb.DeleteCacheRequest(
        identifier=cache_place(), base_request={"key": "k"}
    ),
    "ActionsService/Enqueue": lambda api: enqueue(api, "child"),
    "ActionsService/WatchForUpdates": lambda _: actions_pb.WatchForUpdatesRequest(
        parent_action_id=action_id()
    ),
    "ActionsService/Abort": lambda _: actions_pb.AbortRequest(action_id=action_id("cond")),
    "ActionsService/Signal": lambda _: older_signal(),
    "ArtifactService/CreateArtifact": lambda _: partitioned_artifact(),
    "ArtifactService/GetArtifact": lambda _: artifact_pb.GetArtifactRequest(name=artifact_name()),
    "ArtifactService/ListArtifacts": lambda _: artifact_pb.ListArtifactsRequest(
        project_id=project_id()
    ),
    "ArtifactService/ListArtifactNames": lambda _: artifact_pb.ListArtifactNamesRequest(
        project_id=project_id()
    ),
    "ArtifactService/ListArtifactMetadataKeys": lambda _: (
        artifact_pb.ListArtifactMetadataKeysRequest(project_id=project_id())
    ),
    "ArtifactService/DeclareArtifact": lambda _: artifact_pb.DeclareArtifactRequest(
        name=artifact_name("declared"), partition_schema={"partition_keys": ["region"]}
    ),
    "ArtifactService/GetArtifactSchema": lambda _: artifact_pb.GetArtifactSchemaRequest(
        name=artifact_name()
    ),
    "ArtifactService/ListPartitionValues": lambda _: artifact_pb.ListPartitionValuesRequest(
        project_id=project_id(), name="model", key="region"
    ),
    "ArtifactService/DeleteArtifact": lambda _: artifact_pb.DeleteArtifactRequest(
        artifact_id=artifact_id()
    ),
    "DataProxyService/CreateUploadLocation": lambda _: upload(),
    "DataProxyService/UploadInputs": lambda _: data_pb.UploadInputsRequest(
        project_id=project_id(), task_spec=task_spec()
    ),
    "DataProxyService/CreateDownloadLink": lambda _: link_to(
        data_pb.ArtifactType.ARTIFACT_TYPE_REPORT
    ),
    "DataProxyService/GetActionData": lambda _: data_pb.GetActionDataRequest(
        action_id=action_id()
    ),
    "DataProxyService/TailLogs": lambda _: data_pb.TailLogsRequest(
        action_id=action_id(), attempt=1
    ),
    "DomainService/CreateDomain": lambda _: domain_pb.CreateDomainRequest(id="research"),
    "DomainService/UpdateDomain": lambda _: domain_pb.UpdateDomainRequest(
        id="research", friendly_name="Research"
    ),
    "DomainService/DeleteDomain": lambda _: domain_pb.DeleteDomainRequest(id="research"),
    "ProjectService/CreateProject": lambda _: create_project("made"),
    "ProjectService/UpdateProject": lambda _: project_pb.UpdateProjectRequest(
        project={"id": PROJECT, "name": "Renamed"}
    ),
    "ProjectService/GetProject": lambda _: project_pb.GetProjectRequest(id=PROJECT),
    "ProjectService/ListProjects": lambda _: project_pb.ListProjectsRequest(),
    "SecretService/CreateSecret": lambda _: create_secret(PROJECT, "token"),
    "SecretService/UpdateSecret": lambda _: secret_pb.UpdateSecretRequest(
        id=secret_id(), secret_spec={"string_value": "other"}
    ),
    "SecretService/GetSecret": lambda _: secret_pb.GetSecretRequest(id=secret_id()),
    "SecretService/ListSecrets": lambda _: secret_pb.ListSecretsRequest(
        project=PROJECT, domain=DOMAIN
    ),
    "SecretService/DeleteSecret": lambda _: secret_pb.DeleteSecretRequest(id=secret_id()),
    "SettingsService/GetSettings": lambda _: settings_pb.GetSettingsRequest(key=settings_key()),
    "SettingsService/GetSettingsForEdit": lambda _: settings_pb.GetSettingsForEditRequest(
        key=settings_key()
    ),
    "SettingsService/CreateSettings": lambda _: settings_pb.CreateSettingsRequest(
        key=settings_key(), settings=Settings()
    ),
    "SettingsService/UpdateSettings": lambda _: settings_pb.UpdateSettingsRequest(
        key=settings_key(), settings=Settings(), version=1
    ),
    "TaskService/DeployTask": lambda _: deploy(version="v2"),
    "TaskService/GetTaskDetails": lambda _: task_pb.GetTaskDetailsRequest(task_id=task_id()),
    "TaskService/ListTasks": lambda _: task_pb.ListTasksRequest(org=ORG),
    "TaskService/ListVersions": lambda _: task_pb.ListVersionsRequest(
        task_name=task_definition_pb2.TaskName(project=PROJECT, domain=DOMAIN, name="env.main")
    ),
    "TriggerService/DeployTrigger": lambda _: plain_trigger(),
    "TriggerService/GetTriggerDetails": lambda _: trigger_pb.GetTriggerDetailsRequest(
        name=trigger_name()
    ),
    "TriggerService/GetTriggerRevisionDetails": lambda _: (
        trigger_pb.GetTriggerRevisionDetailsRequest(id=trigger_id())
    ),
    "TriggerService/ListTriggers": lambda _: trigger_pb.ListTriggersRequest(org=ORG),
    "TriggerService/GetTriggerRevisionHistory": lambda _: (
        trigger_pb.GetTriggerRevisionHistoryRequest(name=trigger_name())
    ),
    "TriggerService/UpdateTriggers": lambda _: trigger_pb.UpdateTriggersRequest(
        names=[trigger_name()], active=False
    ),
    "TriggerService/DeleteTriggers": lambda _: trigger_pb.DeleteTriggersRequest(
        names=[trigger_name()]
    ),
    "QueueService/EnqueueAction": older_enqueue,
    "QueueService/AbortQueuedRun": lambda _: queue_pb.AbortQueuedRunRequest(run_id=run_id()),
    "QueueService/AbortQueuedAction": lambda _: queue_pb.AbortQueuedActionRequest(
        action_id=action_id("cond")
    ),
    "RunLogsService/TailLogs": lambda _: run_logs_pb.TailLogsRequest(
        action_id=action_id(), attempt=1
    ),
    "RunService/CreateRun": lambda _: create_run("new"),
    "RunService/AbortRun": lambda _: run_pb.AbortRunRequest(run_id=run_id()),
    "RunService/GetRunDetails": lambda _: run_pb.GetRunDetailsRequest(run_id=run_id()),
    "RunService/WatchRunDetails": lambda _: run_pb.WatchRunDetailsRequest(run_id=run_id()),
    "RunService/GetActionDetails": lambda _: run_pb.GetActionDetailsRequest(
        action_id=action_id()
    ),
    "RunService/WatchActionDetails": lambda _: run_pb.WatchActionDetailsRequest(
        action_id=action_id()
    ),
    "RunService/GetActionData": lambda _: run_pb.GetActionDataRequest(action_id=action_id()),
    "RunService/ListRuns": lambda _: run_pb.ListRunsRequest(org=ORG),
    "RunService/WatchRuns": lambda _: run_pb.WatchRunsRequest(org=ORG),
    "RunService/WatchGroups": lambda _: run_pb.WatchGroupsRequest(
        project_id=project_id(), start_date={"seconds": 1}
    ),
    "RunService/ListActions": lambda _: run_pb.ListActionsRequest(run_id=run_id()),
    "RunService/WatchActions": lambda _: run_pb.WatchActionsRequest(run_id=run_id()),
    "RunService/WatchClusterEvents": lambda _: run_pb.WatchClusterEventsRequest(
        id=action_id(), attempt=1
    ),
    "RunService/AbortAction": lambda _: run_pb.AbortActionRequest(action_id=action_id("cond")),
    "RunService/SignalEvent": lambda _: signal(),
    "RunService/GetActionDataURIs": lambda _: run_pb.GetActionDataURIsRequest(
        action_id=action_id()
    ),
    "RunService/GetActionLogContext": lambda _: run_pb.GetActionLogContextRequest(
        action_id=action_id(), attempt=1
    ),
    "StateService/Watch": lambda _: state_pb.WatchRequest(parent_action_id=action_id()),
    **tracked_requests.REQUESTS,
    **{PLATFORM + name: make for name, make in platform_requests.REQUESTS.items()},
}  # fmt: skip

LISTS = frozenset({
    "ProjectService/ListProjects",
    "RunService/ListRuns",
    "RunService/WatchRuns",
    "TaskService/ListTasks",
    "TrackedRunService/ListRuns",
    "TrackedRunService/WatchRuns",
    "TriggerService/ListTriggers",
    *(PLATFORM + name for name in platform_requests.LISTS),
})  # fmt: skip
"""RPCs that show what the caller may see of what it asks for, and refuse nothing."""
OF_THE_ORG = (
    frozenset({
        "DomainService/CreateDomain",
        "DomainService/DeleteDomain",
        "DomainService/UpdateDomain",
        "ProjectService/CreateProject",
    })
    | {PLATFORM + name for name in platform_requests.OF_THE_ORG}
)  # fmt: skip
"""RPCs that need a grant in the whole org."""
