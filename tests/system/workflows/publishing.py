"""Tasks that publish an artifact and read one."""

import flyte
import flyte.remote
from flyte.io import File

env = flyte.TaskEnvironment(name="publishing")


@env.task(retries=1)
async def publish(name: str, text: str) -> str:
    """Fail once; publish in the second attempt, and return what the artifact says of its source."""
    if flyte.ctx().attempt_number == 0:
        raise RuntimeError("the first attempt fails")
    await flyte.init_in_cluster.aio()
    file = File.new_remote("text")
    async with file.open("wb") as stream:
        await stream.write(text.encode())
    made = await flyte.remote.Artifact.create.aio(file, name=name)
    return made.source


@env.task
async def read(name: str) -> str:
    await flyte.init_in_cluster.aio()
    found = await flyte.remote.Artifact.get.aio(name)
    file = await found.to_python(File)
    async with file.open("rb") as stream:
        return bytes(await stream.read()).decode()
