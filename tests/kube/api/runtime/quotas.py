"""A namespace in which there is room for nothing."""

from tests.kube.client import KubeClient


async def no_pods(api: KubeClient, namespace: str) -> None:
    quotas = f"{namespace}/resourcequotas"
    await api.create(quotas, {"metadata": {"name": "few"}, "spec": {"hard": {"pods": "0"}}})
    none = {"status": {"hard": {"pods": "0"}, "used": {"pods": "0"}}}
    await api.patch(f"{quotas}/few/status", none)  # its controller does not run here
