"""Artifacts by the unmodified SDK: its command line, its library, and from a task."""

import secrets
from pathlib import Path

import pytest

from tests.system.api_client import ApiClient, action_id
from tests.system.commands import Flyte


@pytest.fixture
def name() -> str:
    return f"model-{secrets.token_hex(4)}"


def test_created_artifact_is_shown_by_name_version_and_partition(
    flyte: Flyte, tmp_path: Path, name: str
) -> None:
    file = tmp_path / "model.bin"
    file.write_text("weights")
    for version, day in (("1.0", "2026-09-17"), ("2.0", "2026-09-18")):
        flyte(
            *("create", "artifact", name, "--from-file", str(file), "--version", version),
            *("--partition", f"date={day}", "--partition", "region=eu", "--kind", "model"),
        )

    assert name in flyte("get", "artifact").text
    versions = flyte("get", "artifact", name).text
    assert versions.index("2.0") < versions.index("1.0")
    assert "'version': '1.0'" in flyte("get", "artifact", name, "1.0").text
    partition = ("--partition", "date=2026-09-17", "--partition", "region=eu")
    assert "'version': '1.0'" in flyte("get", "artifact", name, *partition).text
    ranged = ("--partition", "date=2026-09-01..2026-09-17", "--latest-per-partition")
    assert "2.0" not in flyte("get", "artifact", name, *ranged).text


def test_version_with_other_content_is_refused_by_the_command(
    flyte: Flyte, tmp_path: Path, name: str
) -> None:
    file = tmp_path / "model.bin"
    command = ("create", "artifact", name, "--from-file", str(file), "--version", "1.0")
    file.write_text("weights")
    flyte(*command)
    file.write_text("other weights")

    assert "Resource already exists" in flyte(*command, expect=1).text


async def test_task_publishes_with_its_attempt_as_source_and_another_run_reads_it(
    api: ApiClient, flyte: Flyte, name: str
) -> None:
    run = flyte("run", "publishing.py", "publish", "--name", name, "--text", "hello").run

    source = await api.result(action_id(run))
    assert source == [f"run {run}/a0 (attempt 1)"]
    read = flyte("run", "publishing.py", "read", "--name", name).run
    assert await api.result(action_id(read)) == ["hello"]
    assert name in flyte("get", "artifact", "--source-run", run).text


def test_library_declares_lists_and_selects_partitions(flyte: Flyte, name: str) -> None:
    shown = flyte.script("artifacts.py", name).text

    assert "schema date day ('region',) declared" in shown
    assert "versions v3 v2 v1" in shown
    assert "latest per partition v3 v2" in shown
    assert "regions ['eu', 'us']" in shown
    assert "dates 2026-09-17 2026-09-18" in shown
    assert "same version v1" in shown
    assert f"names {name} 3 2026-09-18" in shown
    assert "read hello" in shown
