"""
Tasks whose SDK is not configured for ActionsService use QueueService and StateService only.

Our agents always tell, so the task's process is started by hand here, in the name of a
running action.
"""

import asyncio
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from flyteidl2.common.identifier_pb2 import ActionIdentifier
from flyteidl2.common.phase_pb2 import ActionPhase
from flyteidl2.task.common_pb2 import Outputs
from flyteidl2.task.task_definition_pb2 import TaskSpec

from tests.system.api_client import ApiClient
from tests.system.commands import DOMAIN, PROJECT
from tests.system.enqueues import running_parent
from tests.system.stack import Stack
from tests.system.values import from_literals, make_inputs


async def test_queue_and_state_services_run_children_of_a_task(
    api: ApiClient, stack: Stack, tmp_path: Path
) -> None:
    spec = await api.spec("nested.main")
    async with running_parent(api) as parent:
        text = await run_by_hand(spec, parent, stack, tmp_path)

        outputs = tmp_path / "outputs" / "outputs.pb"
        assert outputs.exists(), text
        assert from_literals(Outputs.FromString(outputs.read_bytes()).literals) == [10]
        children = await api.children(parent)
        assert len(children) == 3
        assert {child.status.phase for child in children} == {ActionPhase.ACTION_PHASE_SUCCEEDED}


async def run_by_hand(spec: TaskSpec, action: ActionIdentifier, stack: Stack, place: Path) -> str:
    """Run a task's process as if it were the action's; return what it printed."""
    for directory in ("work", "outputs", "raw"):
        (place / directory).mkdir()
    (place / "inputs.pb").write_bytes(make_inputs({}).SerializeToString())
    values = {
        "{{.input}}": f"{place}/inputs.pb",
        "{{.outputPrefix}}": f"{place}/outputs",
        "{{.rawOutputDataPrefix}}": f"{place}/raw",
        "{{.checkpointOutputPrefix}}": f"{place}/checkpoint",
        "{{.prevCheckpointPrefix}}": "",
        "{{.runName}}": action.run.name,
        "{{.actionName}}": action.name,
        "{{.runStartTime}}": "2026-06-01T12:00:00Z",
    }
    entry, *args = spec.task_template.container.args
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).with_name(entry)),
        *(values.get(arg, arg) for arg in args),
        cwd=place / "work",
        env=_environment(action, stack),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(60):
        output, _ = await process.communicate()
    return output.decode(errors="replace")


def _environment(action: ActionIdentifier, stack: Stack) -> Mapping[str, str]:
    """Return what a task's process is told, but for ``_U_USE_ACTIONS``."""
    run_base = stack.data / "blobs" / action.run.org / PROJECT / DOMAIN / action.run.name
    return {
        "PATH": os.environ["PATH"],
        "DO_NOT_TRACK": "1",
        "FSSPEC_FILE_AUTO_MKDIR": "1",
        "_U_ORG_NAME": action.run.org,
        "FLYTE_INTERNAL_EXECUTION_PROJECT": PROJECT,
        "FLYTE_INTERNAL_EXECUTION_DOMAIN": DOMAIN,
        "RUN_NAME": action.run.name,
        "ACTION_NAME": action.name,
        "FLYTE_ATTEMPT_NUMBER": "0",
        "_U_RUN_BASE": f"file://{run_base}",
        "_U_EP_OVERRIDE": stack.endpoint,
        "_U_INSECURE": "true",
    }
