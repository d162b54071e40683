"""
A connector of the test's, for the SDK's server to load: its jobs are files in a directory.

``<job>.json`` says how a job does, and the test writes it; what was asked of the connector
is written down beside it.
"""

import asyncio
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from flyte.connectors import AsyncConnector, ConnectorRegistry, Resource, ResourceMeta
from flyteidl2.connector.connector_pb2 import TaskExecutionMetadata
from flyteidl2.core.execution_pb2 import TaskExecution, TaskLog
from flyteidl2.core.tasks_pb2 import TaskTemplate
from google.protobuf import json_format

from tests.integration.connectors.names import DIRECTORY_VARIABLE, TASK_TYPE


@dataclass
class JobMeta(ResourceMeta):
    job: str


class JobConnector(AsyncConnector[JobMeta]):
    name = "Test Connector"
    task_type_name = TASK_TYPE
    metadata_type = JobMeta

    def __init__(self) -> None:
        self._jobs = Path(os.environ[DIRECTORY_VARIABLE])

    async def create(
        self,
        task_template: TaskTemplate,
        output_prefix: str,
        inputs: dict[str, Any] | None = None,
        task_execution_metadata: TaskExecutionMetadata | None = None,
        **secrets: str,
    ) -> JobMeta:
        assert task_execution_metadata is not None
        asked = {
            "args": list(task_template.container.args),
            "inputs": inputs,
            "output_prefix": output_prefix,
            "secrets": secrets,
            "run": task_execution_metadata.task_execution_id.node_execution_id.execution_id.name,
            "retry": task_execution_metadata.task_execution_id.retry_attempt,
        }
        refusal = self._jobs / "refuse"
        if refusal.exists():
            raise ValueError(refusal.read_text())
        (self._jobs / "arrived").touch()
        while (self._jobs / "hold").exists():  # noqa: ASYNC110 - the test is another process
            await asyncio.sleep(0.02)
        job = uuid4().hex
        (self._jobs / f"{job}.asked").write_text(json.dumps(asked))
        does = json_format.MessageToDict(task_template.custom).get("does")
        default = self._jobs / "default.json"
        if does is None:
            does = json.loads(default.read_text()) if default.exists() else {"phase": "QUEUED"}
        (self._jobs / f"{job}.json").write_text(json.dumps(does))
        return JobMeta(job)

    async def get(self, resource_meta: JobMeta, **_: str) -> Resource:
        does = json.loads((self._jobs / f"{resource_meta.job}.json").read_text())
        links = [TaskLog(name=name, uri=uri) for name, uri in does.get("links", {}).items()]
        return Resource(
            phase=TaskExecution.Phase.Value(does["phase"]),
            message=does.get("message"),
            log_links=links,
            outputs=does.get("outputs"),
        )

    async def delete(self, resource_meta: JobMeta, **_: str) -> None:
        (self._jobs / f"{resource_meta.job}.deleted").touch()
        path = self._jobs / f"{resource_meta.job}.json"
        phase = json.loads(path.read_text()).get("when_deleted", "ABORTED")
        path.write_text(json.dumps({"phase": phase}))


ConnectorRegistry.register(JobConnector())
