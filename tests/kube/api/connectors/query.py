"""As a user writes it: a task that some other service runs."""

from typing import Any

import flyte
from flyte.connectors import AsyncConnectorExecutorMixin
from flyte.extend import TaskTemplate
from flyte.models import NativeInterface, SerializationContext


class Query(AsyncConnectorExecutorMixin, TaskTemplate):  # type: ignore[type-arg]
    def custom_config(self, sctx: SerializationContext) -> dict[str, Any]:  # noqa: ARG002
        return {
            "secrets": {"token": "service-token"},
            "does": {"phase": "SUCCEEDED", "message": "7 rows", "outputs": {"o0": 42}},
        }


query = Query(
    name="query",
    interface=NativeInterface({"n": (int, None)}, {"o0": int}),
    task_type="test-job",
    image=None,
)

env = flyte.TaskEnvironment.from_task("queries", query)
