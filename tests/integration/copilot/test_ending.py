"""We test how copilots end: by marks, by signals, by the clock; and always with the right code."""

import asyncio
from pathlib import Path

import pytest

from tests.integration.copilot.literals import FILE_TYPE, file, primitive, simple
from tests.integration.copilot.pods import Pod

INTEGER = 1


async def test_sigterm_lets_transfers_finish(pod: Pod) -> None:
    pod.outputs_wanted = {"f": FILE_TYPE}
    pod.leave("f", "content")
    async with pod.running_sidecar() as sidecar:
        await _hold(pod)
        pod.leave("_SUCCESS", "")
        await _reached(pod)
        sidecar.terminate()
        _release(pod)
        async with asyncio.timeout(60):
            assert await sidecar.wait() == 0
    assert await pod.get("a0/1/raw/f") == b"content"
    assert await pod.shipped()


async def test_a_second_sigterm_aborts(pod: Pod) -> None:
    pod.outputs_wanted = {"f": FILE_TYPE}
    pod.leave("f", "content")
    async with pod.running_sidecar() as sidecar:
        await _hold(pod)
        await pod.is_waiting(sidecar)
        sidecar.terminate()
        await _reached(pod)
        sidecar.terminate()
        async with asyncio.timeout(60):
            assert await sidecar.wait() == 143
    _release(pod)
    assert await pod.get("a0/1/outputs.pb") is None


async def test_the_grace_after_sigterm_ends(pod: Pod) -> None:
    pod.outputs_wanted = {"f": FILE_TYPE}
    pod.leave("f", "content")
    async with pod.running_sidecar(seconds={"grace": 0.5}) as sidecar:
        await _hold(pod)
        await pod.is_waiting(sidecar)
        sidecar.terminate()
        await _reached(pod)
        assert sidecar.stderr is not None
        pod.store.began.clear()
        await _reached(pod)  # it has given up and wants to say so
        _release(pod)
        async with asyncio.timeout(60):
            assert await sidecar.wait() == 1
    error = await pod.error()
    assert error is not None
    assert (error.code, error.kind, error.origin) == ("CopilotLate", 1, 2)
    assert "uploading outputs" in error.message


async def test_sigterm_ends_a_download_at_once(pod: Pod) -> None:
    await pod.give(f=file(await pod.put("there/f", b"content")))
    await _hold(pod)
    async with pod.running_download() as download:
        await _reached(pod)
        download.terminate()
        async with asyncio.timeout(60):
            assert await download.wait() == 143
    _release(pod)


async def test_error_file_written_before_sigterm_is_reported(pod: Pod) -> None:
    pod.outputs_wanted = {"x": simple(INTEGER)}
    pod.leave("x", "1")
    pod.leave("_SUCCESS", "")
    pod.leave("_ERROR", "it broke after all")

    assert (await pod.sidecar()).code == 0

    error = await pod.error()
    assert error is not None
    assert error.message == "it broke after all"
    assert await pod.get("a0/1/outputs.pb") is None


async def test_a_task_that_does_not_begin_is_not_waited_for(pod: Pod) -> None:
    async with pod.running_sidecar(seconds={"start": 0.2}, stay=False) as sidecar:
        async with asyncio.timeout(60):
            assert await sidecar.wait() == 1
    error = await pod.error()
    assert error is not None
    assert "write _START" in error.message


async def test_a_task_that_has_begun_is_waited_for(pod: Pod) -> None:
    pod.leave("_START", "")
    async with pod.running_sidecar(seconds={"start": 0.2}, stay=False) as sidecar:
        await pod.is_waiting(sidecar)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2):
                await sidecar.wait()
        pod.leave("_SUCCESS", "")
        async with asyncio.timeout(60):
            assert await sidecar.wait() == 0


async def test_a_task_that_does_not_end_is_not_waited_for(pod: Pod) -> None:
    async with pod.running_sidecar(seconds={"whole": 0.5}) as sidecar:
        async with asyncio.timeout(60):
            assert await sidecar.wait() == 1
    error = await pod.error()
    assert error is not None
    assert "waiting for the task to end" in error.message


async def test_polling_replaces_unavailable_inotify(
    pod: Pod, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHFILES_FORCE_POLLING", "true")
    async with pod.running_sidecar(stay=False) as sidecar:
        await pod.is_waiting(sidecar)
        pod.leave("_SUCCESS", "")
        async with asyncio.timeout(60):
            assert await sidecar.wait() == 0


async def test_exit_codes_are_right_thirty_times(pod: Pod) -> None:
    """An object store's library once aborted at exit, now and then."""
    await pod.give(x=primitive(1), f=file(await pod.put("there/f", b"content")))
    pod.leave("x", "no number")

    codes = []
    for number in range(30):
        if number % 3 == 2:
            pod.outputs_wanted = {"x": simple(INTEGER)}
            codes.append((await pod.sidecar()).code)
        else:
            codes.append((await pod.download()).code)

    assert codes == [0, 0, 3] * 10


def _watches(descriptors: Path) -> bool:
    links = (path.readlink() for path in descriptors.iterdir())
    return any("inotify" in str(link) for link in links)


async def _hold(pod: Pod) -> None:
    pod.store.gate = asyncio.Event()
    pod.store.began.clear()


async def _reached(pod: Pod) -> None:
    async with asyncio.timeout(60):
        await pod.store.began.wait()


def _release(pod: Pod) -> None:
    assert pod.store.gate is not None
    pod.store.gate.set()
    pod.store.gate = None
