"""The examples run and return their documented results."""

from pathlib import Path

import psutil
import pytest
from flyteidl2.common.phase_pb2 import ActionPhase

from tests.running import until
from tests.system.api_client import ApiClient, action_id
from tests.system.commands import Flyte
from tests.system.stack import Stack
from tests.system.values import Value

EXAMPLES = Path(__file__).parents[2] / "examples"

RESULTS: list[tuple[list[str], list[Value]]] = [
    (["hello.py", "main", "--name", "you"], ["Hello, you!"]),
    (["fan_out.py", "main", "--shelves", "2", "--books", "2"], [6002]),
    (["files.py", "main", "--lines", "12"], [12]),
    (["artifacts.py", "main", "--text", "some more words"], [3]),
    (["failures.py", "main", "--times", "2"], ["coffee, at attempt 2"]),
    (["failures.py", "main", "--times", "5"], ["no coffee: I am a teapot (attempt 2)"]),
    (["traces.py", "main", "--name", "you"], ["YOU, DEAR YOU"]),
    (["reports.py", "main", "--points", "3"], [3]),
    (["caching.py", "main", "--words", '["one", "two", "three", "one"]'], [14]),
]


@pytest.fixture(scope="module")
def reader(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Flyte:
    """The ``flyte`` command, run in the examples' directory."""
    return Flyte(stack, tmp_path_factory.mktemp("home"), place=EXAMPLES)


@pytest.mark.parametrize(("words", "result"), RESULTS, ids=lambda words: " ".join(map(str, words)))
async def test_example_returns_its_result(
    api: ApiClient, reader: Flyte, words: list[str], result: list[Value]
) -> None:
    assert await api.result(action_id(reader("run", *words).run)) == result


async def test_example_returns_a_dataclass(api: ApiClient, reader: Flyte) -> None:
    run = reader("run", "values.py", "main", "--readings", "[20.5, 21.0, 35.0]").run
    await api.phase(action_id(run), ActionPhase.ACTION_PHASE_SUCCEEDED)
    shown = reader("get", "io", "--outputs-only", run).text
    assert "o0=Summary(count=3, mean=25.5, outliers=[35.0]), o1=False" in shown


async def test_recovery_of_the_example_looks_up_no_price_again(
    api: ApiClient, reader: Flyte
) -> None:
    run = reader("run", "recovering.py", "main", "--books", "3", "--budget", "10").run
    await api.phase(action_id(run), ActionPhase.ACTION_PHASE_FAILED)

    again = reader("rerun", run, "--recover", "--budget", "100").run

    assert await api.result(action_id(again)) == [24]
    phases = [child.status.phase for child in await api.children(action_id(again))]
    assert phases == [ActionPhase.ACTION_PHASE_RECOVERED] * 3


async def test_tracked_example_runs_here_and_is_shown(api: ApiClient, reader: Flyte) -> None:
    ended = reader(
        *("run", "--tracked", "--tracked-strict", "--name", "local-count"),
        *("tracking.py", "main", "--words", '["one", "three"]'),
    )

    details = await api.details(action_id("local-count"))
    assert details.status.phase == ActionPhase.ACTION_PHASE_SUCCEEDED
    assert await api.outputs(details.id) == [8]
    assert "local-count" in reader("get", "run", "local-count").text
    actions = reader("get", "action", "local-count").text
    assert actions.count("tracking.count") == 2, ended.text
    assert "o0=8" in reader("get", "io", "--outputs-only", "local-count").text


async def test_output_of_the_example_becomes_an_artifact(api: ApiClient, reader: Flyte) -> None:
    run = reader("run", "artifacts.py", "main").run
    await api.phase(action_id(run), ActionPhase.ACTION_PHASE_SUCCEEDED)

    shown: list[str] = []

    def is_registered() -> bool:
        shown.append(reader("get", "artifact", "words", "--source-run", run).text)
        return "words" in shown[-1]

    await until(is_registered, "its artifact is registered", output=lambda: shown[-1])


def test_every_example_has_a_test() -> None:
    tried = {words[0] for words, _ in RESULTS} | {
        "values.py",
        "endless.py",
        "recovering.py",
        "tracking.py",
    }
    tried |= {"artifact_trigger.py", "trigger.py"}  # in test_triggers
    tried |= {"cluster.py"}  # in tests.kube.node.examples: it needs one
    tried |= {"notifying.py"}  # in test_notifications: it needs a receiver
    assert tried == {path.name for path in EXAMPLES.glob("*.py")}


def test_stop_of_the_stack_stops_the_endless_example(own_stack: Stack, tmp_path: Path) -> None:
    Flyte(own_stack, tmp_path / "home", place=EXAMPLES)("run", "endless.py", "main")
    up = own_stack.up
    up.wait_until(lambda: len(tasks(own_stack.data)) >= 3, "its three tasks run")
    family = [*up.family(), *tasks(own_stack.data)]

    assert up.stop() == 0

    _, alive = psutil.wait_procs(family, timeout=60)
    assert not alive


def tasks(data: Path) -> list[psutil.Process]:
    """List the processes that run in an attempt's directory, whatever their parent."""
    found = []
    for process in psutil.process_iter():
        try:
            if Path(process.cwd()).is_relative_to(data / "agent" / "attempts"):
                found.append(process)
        except psutil.Error:
            continue  # it ended as we looked
    return found
