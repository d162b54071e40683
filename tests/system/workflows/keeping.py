"""Files made in temporary directories, handed on, downloaded and edited."""

import hashlib
import tempfile
from pathlib import Path

import flyte
from flyte.io import Dir, File, HashFunction

env = flyte.TaskEnvironment(name="keeping")


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def fill(directory: str) -> Path:
    below = Path(directory, "below")
    below.mkdir()
    (below / "note.txt").write_text("first")
    return below / "note.txt"


@env.task
async def make() -> tuple[File, File, Dir]:
    with tempfile.TemporaryDirectory() as directory:
        note = fill(directory)
        return (
            await File.from_local(note),
            await File.from_local(str(note), hash_method=HashFunction.from_fn(digest)),
            await Dir.from_local(f"{directory}/"),
        )


@env.task
def make_synchronously() -> tuple[File, File, Dir]:
    with tempfile.TemporaryDirectory() as directory:
        note = fill(directory)
        return (
            File.from_local_sync(note),
            File.from_local_sync(str(note), hash_method=HashFunction.from_fn(digest)),
            Dir.from_local_sync(directory),
        )


@env.task
async def edit(file: File, hashed: File, directory: Dir) -> list[str]:
    """Read all, and edit the downloads, which are private copies."""
    note = Path(await file.download())
    other = Path(await hashed.download())
    third = Path(await directory.download(), "below", "note.txt")
    texts = [path.read_text() for path in (note, other, third)]
    for path in (note, other, third):
        path.write_text("edited")
    return [*texts, note.name, hashed.hash or "no hash"]


@env.task
def edit_synchronously(file: File, hashed: File, directory: Dir) -> list[str]:
    note = Path(file.download_sync())
    other = Path(hashed.download_sync())
    third = Path(directory.download_sync(), "below", "note.txt")
    texts = [path.read_text() for path in (note, other, third)]
    for path in (note, other, third):
        path.write_text("edited")
    return [*texts, note.name, hashed.hash or "no hash"]


@env.task(retries=1)
async def resume() -> str:
    """Fail once after writing a file that the second attempt finds by its name."""
    file = File.named_remote("weights.txt")
    if await file.exists():
        return Path(await file.download()).read_text()
    async with file.open("wb") as stream:
        await stream.write(b"of the first attempt")
    raise RuntimeError("the first attempt ends here")


@env.task
async def main() -> list[list[str]]:
    """Hand both kinds of files to both kinds of readers, one after the other."""
    seen = []
    for made in (await make(), await make_synchronously.aio()):
        seen.append(await edit(*made))
        seen.append(await edit_synchronously.aio(*made))
    return seen
