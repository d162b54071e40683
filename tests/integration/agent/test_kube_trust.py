"""The agent's client of the API server trusts the authorities that are in their file now."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
import yaml
from starlette.responses import JSONResponse

from dataplane.agent.kube import access, client_limits
from dataplane.agent.kube.errors import NoAccessError, UnreachableError
from dataplane.agent.kube.objects import POD, Name
from dataplane.agent.kube.requests import Request
from dataplane.agent.kube.transport import Transport
from tests.servers.http import serving
from tests.servers.tls import TlsFiles, make_files

ANSWER = JSONResponse({"kind": "Status"})
REQUEST = Request(verb="get", method="GET", kind=POD, name=Name("n", "p"))
WITHIN = timedelta(seconds=30)


@pytest.fixture(autouse=True)
def _read_at_each_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_limits, "TOKEN_READ_EVERY", timedelta())


@asynccontextmanager
async def api_server(files: TlsFiles) -> AsyncIterator[str]:
    async with serving(ANSWER, certificate=files.certificate, key=files.key) as url:
        yield url


async def ask(transport: Transport) -> object:
    return await transport.request_json(REQUEST, at_most=WITHIN)


@pytest.mark.parametrize("way", ["service account", "kubeconfig"])
async def test_api_server_of_another_authority_is_trusted_once_the_ca_file_is_replaced(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = make_files(tmp_path / "old"), make_files(tmp_path / "new")
    account = tmp_path / "account"
    account.mkdir()
    (account / "token").write_text("t")
    ca_file = account / "ca.crt"
    ca_file.write_bytes(old.authority.certificate)
    monkeypatch.setattr(access, "_ACCOUNT", account)
    async with AsyncExitStack() as stack:
        before = await stack.enter_async_context(api_server(old))
        after = await stack.enter_async_context(api_server(new))
        transports: list[Transport] = []
        for url in (before, after):
            kubeconfig = None
            if way == "kubeconfig":
                kubeconfig = write_kubeconfig(tmp_path / f"config-{len(transports)}", url, ca_file)
            monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
            monkeypatch.setenv("KUBERNETES_SERVICE_PORT", url.rpartition(":")[2])
            transports.append(await stack.enter_async_context(Transport.open(kubeconfig)))
        first, second = transports
        assert await ask(first) == {"kind": "Status"}
        with pytest.raises(UnreachableError):
            await ask(second)

        ca_file.write_text("nothing")  # half written: those before stay trusted
        assert await ask(first) == {"kind": "Status"}
        ca_file.write_bytes(new.authority.certificate)
        assert await ask(second) == {"kind": "Status"}
        with pytest.raises(UnreachableError):  # a connection of the one before is not used again
            await ask(first)


def write_kubeconfig(path: Path, url: str, ca_file: Path) -> Path:
    content = {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
        "clusters": [{"name": "k", "cluster": {"server": url, "certificate-authority": str(ca_file)}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
    }  # fmt: skip
    path.write_text(yaml.safe_dump(content))
    return path


async def test_kubeconfig_whose_authorities_are_none_is_refused_with_its_name(
    tmp_path: Path,
) -> None:
    ca_file = tmp_path / "ca.crt"
    ca_file.write_text("nothing")
    kubeconfig = write_kubeconfig(tmp_path / "config", "https://localhost:1", ca_file)
    with pytest.raises(NoAccessError, match=r"kubeconfig .*config cannot be used"):
        await access.find_access(kubeconfig)
