"""
Finds address, TLS settings and credentials of a cluster's API server.

Inside a cluster these are files that the kubelet renews, and are read here. Kubeconfigs
(certificates, exec plugins, OIDC) are left to the ``kubernetes`` library; its package brings
1,400 modules of models along, so it is imported only for that.
"""

import asyncio
import os
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from dataplane.agent.kube import client_limits
from dataplane.agent.kube.errors import NoAccessError, UnreachableError

_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Address, TLS settings and credentials of an API server."""

    address: str  # "https://host:port", and a path if there is one
    tls: ssl.SSLContext
    credentials: Callable[[], Awaitable[Mapping[str, str]]]
    """The headers of one request; UnreachableError while they cannot be read."""
    server_name: str | None = None  # expected in its certificate; None: the address's host
    proxy: str | None = None


async def find_access(kubeconfig: Path | None) -> Access:
    """Read the kubeconfig or, without one, the pod's service account; NoAccessError if neither."""
    return _of_pod() if kubeconfig is None else await _of_kubeconfig(kubeconfig)


def _of_pod() -> Access:
    host = os.environ.get("KUBERNETES_SERVICE_HOST", "")
    port = os.environ.get("KUBERNETES_SERVICE_PORT", "")
    if not (host and port):
        raise NoAccessError(
            "not running in a pod (KUBERNETES_SERVICE_HOST is not set); give --kubeconfig"
        )
    token = _AccountToken(_ACCOUNT / "token")
    try:
        token.read()
        tls = ssl.create_default_context(cafile=str(_ACCOUNT / "ca.crt"))
    except (OSError, ValueError) as error:
        raise NoAccessError(
            f"this pod has no service account token ({error}); mount one, or give --kubeconfig"
        ) from error
    address = f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
    return Access(
        address=address, tls=tls, credentials=token.credentials, proxy=_find_proxy(address)
    )


class _AccountToken:
    """A pod's token, which the kubelet renews in its file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._headers: Mapping[str, str] = {}
        self._read_at = 0.0

    async def credentials(self) -> Mapping[str, str]:
        if _is_old(self._read_at):
            try:
                self.read()
            except (OSError, ValueError) as error:  # it is being replaced
                raise UnreachableError(f"the credentials cannot be read: {error}") from error
        return self._headers

    def read(self) -> None:
        token = self._path.read_text().strip()
        if not token:
            raise ValueError(f"{self._path} is empty")
        self._headers = {"Authorization": f"Bearer {token}"}
        self._read_at = asyncio.get_running_loop().time()


async def _of_kubeconfig(path: Path) -> Access:
    from kubernetes.aio import config  # noqa: PLC0415
    from kubernetes.aio.client.configuration import Configuration  # noqa: PLC0415

    found = Configuration()
    try:
        loader = await config.load_kube_config(
            str(path), client_configuration=found, persist_config=False
        )
    except config.ConfigException as error:
        raise NoAccessError(f"kubeconfig {path} cannot be used: {error}") from error
    read_at = asyncio.get_running_loop().time()

    async def credentials() -> Mapping[str, str]:
        nonlocal read_at
        try:
            if _is_old(read_at):
                read_at = asyncio.get_running_loop().time()
                await loader.load_and_set(found)
            settings = await found.auth_settings()
        except config.ConfigException as error:  # its file is being replaced
            raise UnreachableError(f"the credentials cannot be read: {error}") from error
        return {setting["key"]: setting["value"] for setting in settings.values()}

    tls = ssl.create_default_context(cafile=found.ssl_ca_cert)
    if found.cert_file:
        tls.load_cert_chain(found.cert_file, keyfile=found.key_file)
    if not found.verify_ssl:
        tls.check_hostname = False
        tls.verify_mode = ssl.CERT_NONE
    return Access(
        address=found.host,
        tls=tls,
        credentials=credentials,
        server_name=found.tls_server_name,
        proxy=found.proxy or _find_proxy(found.host),
    )


def _is_old(read_at: float) -> bool:
    age = asyncio.get_running_loop().time() - read_at
    return age >= client_limits.TOKEN_READ_EVERY.total_seconds()


def _find_proxy(address: str) -> str | None:
    """Return the proxy that the environment (HTTPS_PROXY, NO_PROXY) sets for ``address``."""
    parts = urlsplit(address)
    if proxy_bypass(parts.hostname or ""):
        return None
    return getproxies().get(parts.scheme)
