"""The proxy's certificates: one authority for all replicas, fresh ones without a restart."""

import asyncio
import base64
import ssl
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509

from dataplane.agent.core.pod_identity import CA_CONFIG_MAP, CA_KEY
from dataplane.agent.kube.client import Kube
from dataplane.agent.kube.objects import Name
from dataplane.agent.proxy import proxy_limits
from dataplane.agent.proxy.authority import Authority
from shared.kit.certificates import CertificateError
from shared.kit.clock import SystemClock
from tests.fakes.clock import FakeClock
from tests.kube.api.proxy.control import Control
from tests.kube.api.proxy.world import World, world
from tests.kube.controlplane import KubeForTests

_PLACES = ["127.0.0.1", "::1", "proxy.volary.svc"]


def _config_map(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/configmaps/{CA_CONFIG_MAP}"


async def test_replicas_that_start_at_once_have_one_authority(here: World) -> None:
    name = Name(here.namespace, "contested")
    opened = await asyncio.gather(
        *(Authority.open(here.kube, name, _PLACES, SystemClock()) for _ in range(8))
    )
    assert len({each.certificate for each in opened}) == 1


async def test_damaged_authority_secret_is_named_with_its_remedy(here: World) -> None:
    body = {
        "metadata": {"name": "odd"},
        "type": "kubernetes.io/tls",
        "data": {"tls.crt": base64.b64encode(b"no").decode(), "tls.key": ""},
    }
    await here.api.create(f"/api/v1/namespaces/{here.namespace}/secrets", body)
    with pytest.raises(CertificateError):
        await Authority.open(here.kube, Name(here.namespace, "odd"), _PLACES, SystemClock())


async def test_certificate_is_published_once_and_corrected_when_changed(
    here: World, kube_api: KubeForTests
) -> None:
    clock = FakeClock(SystemClock().now())
    async with Kube.open(kube_api.kubeconfig()) as kube:
        authority = await Authority.open(kube, Name(here.namespace, "published"), _PLACES, clock)
        path = _config_map(here.namespace)
        for _ in range(3):
            await authority.publish(here.namespace)
        there = await here.api.get(path)
        assert there["data"] == {CA_KEY: authority.certificate.decode()}
        assert kube.requests["get", "configmaps", 404] == 1
        assert kube.requests["create", "configmaps", 201] == 1

        await here.api.patch(path, {"data": {CA_KEY: "changed"}})
        clock.advance(proxy_limits.PUBLISHED_LASTS)
        await authority.publish(here.namespace)
        assert (await here.api.get(path))["data"] == there["data"]

        await here.api.delete(path)
        clock.advance(proxy_limits.PUBLISHED_LASTS)
        await authority.publish(here.namespace)
        assert (await here.api.get(path))["data"] == there["data"]


async def _presented(port: int, trust: ssl.SSLContext) -> x509.Certificate:
    """Shake hands as a client does, and return the server's certificate."""
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trust)
    try:
        found: ssl.SSLObject = writer.get_extra_info("ssl_object")
        encoded = found.getpeercert(binary_form=True)
        assert encoded is not None
        return x509.load_der_x509_certificate(encoded)
    finally:
        writer.close()
        await writer.wait_closed()


async def test_certificate_is_renewed_while_the_proxy_serves(
    kube_api: KubeForTests, control: Control, tmp_path: Path
) -> None:
    clock = _StandingClock(SystemClock().now() - timedelta(hours=36))
    async with world(kube_api, tmp_path, control.url, clock=clock) as here:
        first = await _presented(here.proxy.port, here.trust())
        clock.advance(timedelta(hours=36))
        assert here.proxy.authority.run_once(), "half its life is over"
        second = await _presented(here.proxy.port, here.trust())
    assert second.serial_number != first.serial_number
    assert second.not_valid_after_utc - first.not_valid_after_utc >= timedelta(hours=35)
    names = second.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert "proxy.test" in names.get_values_for_type(x509.DNSName)


class _StandingClock(FakeClock):
    """Advances by hand only: who sleeps, sleeps until cancelled."""

    async def sleep(self, delay: timedelta) -> None:
        del delay
        await asyncio.Event().wait()
