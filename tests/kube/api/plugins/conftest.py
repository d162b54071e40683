import asyncio

import pytest

from tests.kube.api.plugins.definitions import NoDefinitionsError, fetch_definitions
from tests.kube.client import Json, KubeError
from tests.kube.controlplane import KubeForTests

_DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


@pytest.fixture(scope="session", autouse=True)
def operators(kube_api: KubeForTests) -> None:
    """Have the operators' resources known to the API server; the operators are not there."""
    try:
        definitions = fetch_definitions()
    except NoDefinitionsError as error:
        pytest.skip(str(error))

    async def install() -> None:
        async with kube_api.client() as kube:
            for definition in definitions:
                try:
                    await kube.create(_DEFINITIONS, definition)
                except KubeError as error:
                    if error.reason != "AlreadyExists":
                        raise
            for definition in definitions:
                path = f"{_DEFINITIONS}/{definition['metadata']['name']}"
                await kube.wait_for(path, _is_served)

    asyncio.run(install())


def _is_served(definition: Json) -> bool:
    conditions = definition.get("status", {}).get("conditions") or []
    return any(each["type"] == "Established" and each["status"] == "True" for each in conditions)
