"""
Finds address, TLS settings and credentials of a cluster's API server.

Inside a cluster these are files that the kubelet renews, and are read here. Kubeconfigs
(certificates, exec plugins, OIDC) are left to the ``kubernetes`` library; its package brings
1,400 modules of models along, so it is imported only for that.
"""

import asyncio
import logging
import os
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from dataplane.agent.kube import client_limits
from dataplane.agent.kube.errors import NoAccessError, UnreachableError
from shared.kit.certificates import CertificateError
from shared.kit.trust_file import TrustFile

logger = logging.getLogger(__name__)

_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Address, TLS settings and credentials of an API server."""

    address: str  # "https://host:port", and a path if there is one
    tls: Callable[[], ssl.SSLContext]
    """The TLS settings of a connection that begins now; those that are open keep theirs."""
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
    try:
        account = _Account(_ACCOUNT)
    except (OSError, ValueError, CertificateError) as error:
        raise NoAccessError(
            f"this pod has no service account token ({error}); mount one, or give --kubeconfig"
        ) from error
    address = f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
    return Access(
        address=address,
        tls=lambda: account.trust.context,
        credentials=account.credentials,
        proxy=_find_proxy(address),
    )


class _Account:
    """A pod's token and the cluster's authorities, which the kubelet renews in their files."""

    def __init__(self, directory: Path) -> None:
        """Read them; OSError, ValueError, CertificateError."""
        self._token = directory / "token"
        self._headers: Mapping[str, str] = {}
        self._read_at = 0.0
        self.trust = TrustFile(directory / "ca.crt")
        self._read_token()

    async def credentials(self) -> Mapping[str, str]:
        if _is_old(self._read_at):
            self.trust.reload()  # with the token, for no watch would have to be run
            try:
                self._read_token()
            except (OSError, ValueError) as error:  # it is being replaced
                raise UnreachableError(f"the credentials cannot be read: {error}") from error
        return self._headers

    def _read_token(self) -> None:
        token = self._token.read_text().strip()
        if not token:
            raise ValueError(f"{self._token} is empty")
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
                tls.reload()
            settings = await found.auth_settings()
        except config.ConfigException as error:  # its file is being replaced
            raise UnreachableError(f"the credentials cannot be read: {error}") from error
        return {setting["key"]: setting["value"] for setting in settings.values()}

    try:
        tls = _KubeconfigTls(found)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise NoAccessError(
            f"kubeconfig {path} cannot be used: its certificates or key cannot be read: {error}"
        ) from error
    return Access(
        address=found.host,
        tls=lambda: tls.context,
        credentials=credentials,
        server_name=found.tls_server_name,
        proxy=found.proxy or _find_proxy(found.host),
    )


class _KubeconfigTls:
    """TLS settings of a kubeconfig, made again when one of the files that it names has changed."""

    def __init__(self, found: Any) -> None:
        """``found``: the library's Configuration. OSError, ValueError."""
        self._found = found
        self._read: object = self._contents()
        self.context = self._make()

    def reload(self) -> None:
        """Read the files again; while they cannot be used, those before stay."""
        try:
            contents = self._contents()
            if contents != self._read:
                self.context, self._read = self._make(), contents
                logger.info("certificates of the kubeconfig reloaded")
        except (OSError, ValueError) as error:
            logger.error(  # noqa: TRY400 - the error's text is the whole story
                "certificates of the kubeconfig not reloaded, those before are used",
                extra={"error": str(error)},
            )

    def _contents(self) -> object:
        files = (self._found.ssl_ca_cert, self._found.cert_file, self._found.key_file)
        contents = [Path(each).read_bytes() if each else b"" for each in files]
        return contents, self._found.verify_ssl

    def _make(self) -> ssl.SSLContext:
        tls = ssl.create_default_context(cafile=self._found.ssl_ca_cert)
        if self._found.cert_file:
            tls.load_cert_chain(self._found.cert_file, keyfile=self._found.key_file)
        if not self._found.verify_ssl:
            tls.check_hostname = False
            tls.verify_mode = ssl.CERT_NONE
        return tls


def _is_old(read_at: float) -> bool:
    age = asyncio.get_running_loop().time() - read_at
    return age >= client_limits.TOKEN_READ_EVERY.total_seconds()


def _find_proxy(address: str) -> str | None:
    """Return the proxy that the environment (HTTPS_PROXY, NO_PROXY) sets for ``address``."""
    parts = urlsplit(address)
    if proxy_bypass(parts.hostname or ""):
        return None
    return getproxies().get(parts.scheme)
