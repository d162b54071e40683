"""``volary up`` as a process: coming up, going down, and what it says when it cannot."""

import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.ports import free_ports
from tests.servers import volary


def refused(*options: str) -> str:
    """Run ``volary up`` where it must refuse, and return what it said."""
    ended = subprocess.run(  # noqa: S603
        [sys.executable, "-m", "controlplane.cli", "up", *options],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 1, ended
    assert "Traceback" not in ended.stderr
    return ended.stderr


def require_gone(up: volary.VolaryUp, family: list[psutil.Process]) -> None:
    _, alive = psutil.wait_procs(family, timeout=60)
    assert not alive, f"{[process.cmdline() for process in alive]}\n{up.output()}"


def test_banner_shows_the_endpoint_and_the_anonymous_warning(tmp_path: Path) -> None:
    with volary.running(tmp_path / "data") as up:
        output = up.output()
    assert f"endpoint   {up.endpoint}" in output
    assert re.search(r"console    (http://localhost:\d+/v2|not built; `make console`)", output)
    assert str(tmp_path / "data") in output
    assert "ANONYMOUS" in output


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_stops_volary_up_and_its_children(tmp_path: Path, number: signal.Signals) -> None:
    with volary.running(tmp_path / "data") as up:
        up.wait_until_said("agent connected")
        family = up.family()
        assert {"postgres"} < {process.name() for process in family}
        assert up.stop(number) == 0
    require_gone(up, family)
    assert not (tmp_path / "data" / "up.json").exists()
    assert "Traceback" not in up.output()


def test_volary_up_killed_outright_leaves_no_child_and_starts_again(tmp_path: Path) -> None:
    with volary.running(tmp_path / "data") as up:
        up.wait_until_said("agent connected")
        family = up.family()
        up.process.kill()
        up.process.wait(10)
        require_gone(up, family)
    with volary.running(tmp_path / "data") as up:
        up.wait_until_said("agent connected")


def test_agent_that_dies_is_restarted(tmp_path: Path) -> None:
    with volary.running(tmp_path / "data") as up:
        up.wait_until_said("agent connected")
        agents = [child for child in up.family() if "dataplane.agent" in " ".join(child.cmdline())]
        agents[0].kill()
        up.wait_until_said("agent exited; restarting")
        up.wait_until_said("agent connected", times=2)


def test_postgres_that_dies_ends_volary_up_with_an_error(tmp_path: Path) -> None:
    with volary.running(tmp_path / "data") as up:
        psutil.Process(postmaster(up)).kill()
        assert up.process.wait(60) == 1
    assert "the embedded Postgres exited" in up.output()
    assert "Traceback" not in up.output().partition("Error:")[2]


def postmaster(up: volary.VolaryUp) -> int:
    return int((up.data / "postgres" / "data" / "postmaster.pid").read_text().split()[0])


def test_second_volary_up_on_a_directory_names_the_first(tmp_path: Path) -> None:
    with volary.running(tmp_path / "data") as up:
        output = refused("--data-dir", str(up.data), "--http-port", "0", "--link-port", "0")
    assert f"in use by another volary up (pid {up.process.pid})" in output
    assert "--data-dir" in output


@pytest.mark.parametrize("option", ["--http-port", "--link-port"])
def test_port_in_use_is_named_with_its_option(tmp_path: Path, option: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        free = {"--http-port": "0", "--link-port": "0", option: str(port)}
        output = refused(
            "--data-dir", str(tmp_path / "data"), *(word for pair in free.items() for word in pair)
        )
    assert f"port {port} of 127.0.0.1 is in use" in output
    assert option in output


def test_a_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    output = refused("--data-dir", str(tmp_path / "file" / "data"))
    assert f"cannot write to {tmp_path / 'file' / 'data'} (Not a directory)" in output


def test_data_directory_of_a_newer_release_is_refused(tmp_path: Path) -> None:
    (tmp_path / "release").write_text("99.0.0\n")
    output = refused("--data-dir", str(tmp_path))
    assert "last used by Volary 99.0.0" in output
    assert not (tmp_path / "postgres").exists()


def test_host_other_than_loopback_is_refused_in_anonymous_mode(tmp_path: Path) -> None:
    output = refused("--data-dir", str(tmp_path), "--host", "0.0.0.0")  # noqa: S104
    assert "0.0.0.0 is not this machine's loopback" in output


def test_a_database_that_cannot_be_reached_is_named_without_its_password(tmp_path: Path) -> None:
    output = refused(
        *("--data-dir", str(tmp_path), "--http-port", "0", "--link-port", "0"),
        *("--database-url", "postgresql://me:pa55word@127.0.0.1:1/nowhere"),
    )
    assert "cannot use the database at 127.0.0.1:1/nowhere" in output
    assert "pa55word" not in output


def test_http_and_link_port_must_differ(tmp_path: Path) -> None:
    port = str(free_ports(1)[0])
    output = refused("--data-dir", str(tmp_path), "--http-port", port, "--link-port", port)
    assert f"--http-port and --link-port are both {port}" in output


def test_malformed_blob_base_is_refused_before_anything_starts(tmp_path: Path) -> None:
    output = refused("--data-dir", str(tmp_path / "data"), "--blob-base", "/tmp/blobs")  # noqa: S108
    assert "--blob-base is '/tmp/blobs'; set it to file:///directory, s3://bucket/prefix" in output
    assert not (tmp_path / "data").exists()


def test_volary_up_listens_on_ipv6_loopback(tmp_path: Path) -> None:
    with volary.running(tmp_path / "data", "--host", "::1") as up:
        up.wait_until_said("agent connected")
