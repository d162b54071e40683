"""A pod as the agent will make it: two copilots as processes, a task played by the test."""

import asyncio
import json
import os
import sys
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import obstore
from flyteidl2.core.execution_pb2 import ContainerError, ErrorDocument
from flyteidl2.core.interface_pb2 import VariableMap
from flyteidl2.core.literals_pb2 import Literal
from flyteidl2.core.types_pb2 import LiteralType
from flyteidl2.task.common_pb2 import Inputs, NamedLiteral, Outputs

from tests.integration.copilot.signer import Signer
from tests.integration.copilot.unreliable import Unreliable

_TIMEOUT_SECONDS = 60
Running = AbstractAsyncContextManager[asyncio.subprocess.Process]


@dataclass(frozen=True, slots=True)
class Ended:
    code: int
    output: str  # to stderr


@dataclass(slots=True)
class Pod:
    root: Path
    signer: Signer
    address: str
    outputs_wanted: dict[str, LiteralType] = field(default_factory=dict)
    overrides: dict[str, object] = field(default_factory=dict)  # over the usual handoff
    token: str = "token-of-an-attempt"  # noqa: S105
    words: Sequence[str] = ()  # before its command
    environment: dict[str, str] = field(default_factory=dict)  # besides ours
    faulty: Unreliable | None = None  # what stands before the store, where something does

    @property
    def store(self) -> Unreliable:
        assert self.faulty is not None
        return self.faulty

    @property
    def inputs_at(self) -> Path:
        return self.root / "inputs"

    @property
    def outputs_at(self) -> Path:
        return self.root / "outputs"

    def uri(self, key: str) -> str:
        return f"{self.signer.bucket.base}/{key}"

    async def put(self, key: str, body: bytes) -> str:
        await obstore.put_async(self.signer.bucket.store, key, body)
        return self.uri(key)

    async def get(self, key: str) -> bytes | None:
        try:
            found = await obstore.get_async(self.signer.bucket.store, key)
        except FileNotFoundError:
            return None
        return bytes(await found.bytes_async())

    async def give(self, **literals: Literal) -> None:
        """Write inputs.pb, in this order."""
        await self.give_message(
            Inputs(
                literals=[NamedLiteral(name=name, value=value) for name, value in literals.items()]
            )
        )

    async def give_message(self, inputs: Inputs) -> None:
        await self.put("a0/inputs.pb", inputs.SerializeToString())

    def leave(self, name: str, content: bytes | str) -> Path:
        """Do as the task: leave a file in the output directory."""
        path = self.outputs_at / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    async def download(self, **overrides: object) -> Ended:
        process = await self._start("download", overrides)
        return await _end(process)

    async def sidecar(self, **overrides: object) -> Ended:
        """Run it over what the task has left already, and end it as the kubelet does."""
        async with self.running_sidecar(**overrides) as process:
            await self.is_waiting(process)
            process.terminate()
            return await _end(process)

    def running_download(self, **overrides: object) -> Running:
        return self._running("download", overrides)

    def running_sidecar(self, **overrides: object) -> Running:
        self.outputs_at.mkdir(exist_ok=True)
        return self._running("sidecar", overrides)

    @asynccontextmanager
    async def _running(
        self, command: str, overrides: Mapping[str, object]
    ) -> AsyncIterator[asyncio.subprocess.Process]:
        process = await self._start(command, overrides)
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    async def is_waiting(self, process: asyncio.subprocess.Process) -> None:
        """Return when it would hear SIGTERM: the handler is there."""
        status = Path(f"/proc/{process.pid}/status")
        deadline = time.monotonic() + _TIMEOUT_SECONDS
        while time.monotonic() < deadline and process.returncode is None:
            caught = next((line for line in _lines(status) if line.startswith("SigCgt:")), "")
            if caught and int(caught.split()[1], 16) & 1 << 14:
                return
            await asyncio.sleep(0.01)

    async def shipped(self) -> Mapping[str, Literal]:
        body = await self.get("a0/1/outputs.pb")
        assert body is not None, "there is no outputs.pb"
        return {named.name: named.value for named in Outputs.FromString(body).literals}

    async def error(self) -> ContainerError | None:
        body = await self.get("a0/1/error.pb")
        return None if body is None else ErrorDocument.FromString(body).error

    async def _start(
        self, command: str, overrides: Mapping[str, object]
    ) -> asyncio.subprocess.Process:
        token = self.root / "token"
        token.write_text(f"{self.token}\n")
        handoff = self.root / f"{command}.json"
        handoff.write_text(json.dumps(self._handoff(token, {**self.overrides, **overrides})))
        return await asyncio.create_subprocess_exec(
            *self.words, sys.executable, "-m", "dataplane.copilot", command, "--handoff", str(handoff),
            stderr=asyncio.subprocess.PIPE, env={**os.environ, **self.environment},
        )  # fmt: skip

    def _handoff(self, token: Path, overrides: Mapping[str, object]) -> dict[str, object]:
        interface = VariableMap()
        for name, kind in self.outputs_wanted.items():
            interface.variables.add(key=name).value.type.CopyFrom(kind)
        usual: dict[str, object] = {
            "links": {"endpoint": f"{self.address}/sign", "token_file": str(token)},
            "inputs": {"uri": self.uri("a0/inputs.pb"), "path": str(self.inputs_at)},
            "outputs": {
                "prefix": self.uri("a0/1"),
                "raw_prefix": self.uri("a0/1/raw"),
                "path": str(self.outputs_at),
                "interface": b64encode(interface.SerializeToString()).decode(),
            },
        }
        for name, change in overrides.items():
            before = usual.get(name)
            both = isinstance(before, dict) and isinstance(change, dict)
            usual[name] = {**before, **change} if both else change  # type: ignore[dict-item]
        return usual


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


async def _end(process: asyncio.subprocess.Process) -> Ended:
    async with asyncio.timeout(_TIMEOUT_SECONDS):
        _, output = await process.communicate()
    assert process.returncode is not None
    return Ended(process.returncode, output.decode())
