"""Builds the requests that create, read and delete an attempt's job at a connector."""

from collections.abc import Mapping
from typing import Protocol

from flyteidl2.connector import connector_pb2
from flyteidl2.core import identifier_pb2, security_pb2, tasks_pb2
from flyteidl2.task import common_pb2
from google.protobuf import json_format

from dataplane.agent.core import attempt_limits
from dataplane.agent.kube.objects import label_attempt
from dataplane.agent.runtimes.blobs import Stores
from dataplane.agent.runtimes.connectors.client import Category
from dataplane.agent.runtimes.environment import substitute, trace_variables
from dataplane.agent.runtimes.protocol import Job
from dataplane.agent.runtimes.tasks import BadSpecError


class SecretValues(Protocol):
    """Interface to the values of the secrets that tasks name."""

    async def find(self, job: Job, name: str) -> str | None:
        """Return the value, None if the project has no such secret; SecretsUnavailableError."""


class NoSecretValues:
    """Secret store without secrets, for agents that have none configured."""

    async def find(self, job: Job, name: str) -> str | None:  # noqa: ARG002 - the protocol's
        return None


async def read_inputs(stores: Stores, job: Job) -> common_pb2.Inputs:
    """Return the attempt's inputs; BlobError or DecodeError if they cannot be read."""
    if not job.task.inputs:
        return common_pb2.Inputs()
    store, uri = stores.of(job.assignment), job.assignment.input_uri
    body = await stores.with_retries(
        lambda: store.read(uri, limit=attempt_limits.INPUTS_BYTES), attempt_limits.STORAGE_TIMEOUT
    )
    return common_pb2.Inputs.FromString(body)


async def connect(job: Job, secrets: SecretValues) -> security_pb2.Connection:
    """
    Return the task's credentials: the secrets that its plugin names in ``custom.secrets``.

    BadSpecError names the first that is missing. Never stored: every call reads them again.
    """
    custom = json_format.MessageToDict(job.task.template.custom)
    named = custom.get("secrets") or {}
    if not isinstance(named, dict):
        raise BadSpecError(f"custom.secrets of task {job.task.name} is not an object of names")
    values = {}
    for use, name in named.items():
        if name is None:
            continue  # the SDK writes an omitted option as null
        value = await secrets.find(job, str(name))
        if value is None:
            raise BadSpecError(
                f"task {job.task.name} needs the secret {name!r} as its {use}, and this cluster "
                f"has none of that name for {job.assignment.key.run.project}/"
                f"{job.assignment.key.run.domain}"
            )
        values[use] = value
    return security_pb2.Connection(task_type=job.task.type, secrets=values)


def create_request(
    job: Job, inputs: common_pb2.Inputs, connection: security_pb2.Connection
) -> connector_pb2.CreateTaskRequest:
    return connector_pb2.CreateTaskRequest(
        inputs=inputs,
        template=_fill_in(job),
        output_prefix=job.assignment.output_prefix,
        task_execution_metadata=_describe(job),
        connection=connection,
    )


def make_receipt(job: Job, resource_meta: bytes) -> connector_pb2.GetTaskRequest:
    template = job.task.template
    return connector_pb2.GetTaskRequest(
        resource_meta=resource_meta,
        task_category=Category(template.type, template.task_type_version).render(),
        output_prefix=job.assignment.output_prefix,
    )


def delete_request(
    receipt: connector_pb2.GetTaskRequest, connection: security_pb2.Connection
) -> connector_pb2.DeleteTaskRequest:
    return connector_pb2.DeleteTaskRequest(
        resource_meta=receipt.resource_meta,
        task_category=receipt.task_category,
        connection=connection,
    )


def get_request(
    receipt: connector_pb2.GetTaskRequest, connection: security_pb2.Connection
) -> connector_pb2.GetTaskRequest:
    request = connector_pb2.GetTaskRequest(connection=connection)
    request.MergeFrom(receipt)
    return request


def _fill_in(job: Job) -> tasks_pb2.TaskTemplate:
    """Return the template with the arguments' placeholders replaced, for the SDK's entry point."""
    template = tasks_pb2.TaskTemplate()
    template.CopyFrom(job.task.template)
    if template.HasField("container"):
        args = substitute(template.container.args, job.assignment)
        template.container.args[:] = args
    return template


def _describe(job: Job) -> connector_pb2.TaskExecutionMetadata:
    assignment, template = job.assignment, job.task.template
    run = assignment.key.run
    execution = identifier_pb2.WorkflowExecutionIdentifier(
        project=run.project, domain=run.domain, name=run.name, org=assignment.org
    )
    identity = template.security_context.run_as
    return connector_pb2.TaskExecutionMetadata(
        # Stable per attempt, so that a connector can recognise the attempt by it.
        task_execution_id=identifier_pb2.TaskExecutionIdentifier(
            task_id=template.id,
            node_execution_id=identifier_pb2.NodeExecutionIdentifier(
                node_id=assignment.key.name, execution_id=execution
            ),
            retry_attempt=assignment.attempt.number - 1,
        ),
        labels=label_attempt(assignment),
        k8s_service_account=identity.k8s_service_account,
        environment_variables=_environment(job),
        interruptible=template.metadata.interruptible,
        identity=identity,
    )


def _environment(job: Job) -> Mapping[str, str]:
    own = {} if job.task.container is None else job.task.container.env
    run = job.assignment.key.run
    return {
        **own,
        **job.run.env,
        "_U_ORG_NAME": job.assignment.org,
        "FLYTE_INTERNAL_EXECUTION_PROJECT": run.project,
        "FLYTE_INTERNAL_EXECUTION_DOMAIN": run.domain,
        "RUN_NAME": run.name,
        "ACTION_NAME": job.assignment.key.name,
        "_U_RUN_BASE": job.assignment.run_base,
        **trace_variables(job.assignment),
    }
