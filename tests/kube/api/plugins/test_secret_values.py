"""Secrets of connectors' tasks are found where those of pods are."""

from base64 import b64encode

import pytest

from dataplane.agent.kube.client import Kube
from dataplane.agent.kube.namespaces import Namespaces
from dataplane.agent.runtimes.kubernetes.secret_values import KubeSecretValues
from shared.kit.clock import SystemClock
from tests.kube.client import KubeClient
from tests.unit.agent.assignments import make_job


@pytest.fixture
def values(kube: Kube, place: str) -> KubeSecretValues:
    namespaces = Namespaces(kube, own="volary", template=place, create=False, clock=SystemClock())
    return KubeSecretValues(kube, place, namespaces)


async def test_secret_value_is_a_key_of_the_default_secret(
    values: KubeSecretValues, api: KubeClient, namespace: str
) -> None:
    data = {"token": b64encode(b"hush").decode(), "binary": b64encode(b"\xff\xfe").decode()}
    secret = {"metadata": {"name": "volary-secrets"}, "data": data}
    await api.create(f"{namespace}/secrets", secret)
    assert await values.find(make_job(), "token") == "hush"
    assert await values.find(make_job(), "absent") is None
    assert await values.find(make_job(), "binary") is None


async def test_missing_secret_has_no_value(values: KubeSecretValues) -> None:
    assert await values.find(make_job(), "token") is None
