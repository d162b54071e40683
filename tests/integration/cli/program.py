"""A program that calls a control plane's platform API, and Flyte's domains and settings, by commands."""

import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from controlplane.api.domains import DomainService
from controlplane.api.scoped_settings import SettingsService
from controlplane.authn.sealing import Sealer
from controlplane.core.callers import EVERYTHING, Caller, Subject, org_wide
from controlplane.core.projects import Project
from controlplane.platform import make_platform
from controlplane.store.database import Database
from controlplane.usecases.bootstrap import bootstrap
from controlplane.usecases.domains import Domains
from controlplane.usecases.identity.providers import IdentityProviders
from controlplane.usecases.scoped_settings import ScopedSettings
from controlplane.usecases.secret_keys import SecretKeys
from controlplane.usecases.secrets import Secrets
from shared.kit.clock import SystemClock
from shared.kit.secrets import SecretBytes, SecretText
from shared.model.ids import ClusterName, ProjectName
from shared.secrets.keyrings import AesKey
from tests.factories import ORG
from tests.integration.api.client import PROJECT
from tests.integration.cli.world import Done, Person
from tests.integration.oauth.service import Service, serve
from tests.integration.oauth.world import API_KEY, API_SECRET

KEY = AesKey(SecretBytes(b"k" * 32))  # of secrets
BASE = "s3://bucket/data"
PACKAGE = "/volary.platform.v1."
OPERATOR = Caller(subject=Subject("operator:test"), org=ORG, name="", grants=org_wide(EVERYTHING))


@pytest.fixture
async def service(database: Database, tmp_path: Path) -> AsyncIterator[Service]:
    """A control plane that serves its platform API as well, with one cluster."""
    clock = SystemClock()
    await bootstrap(
        database,
        clock,
        org=ORG,
        projects=[Project(id=ProjectName(PROJECT), name=PROJECT)],
        cluster=ClusterName("local"),
        cluster_token=SecretText("token"),
    )
    services = make_platform(
        database,
        clock,
        public_url="https://volary.example",
        self_service_orgs=True,
        secrets=lambda: Secrets(database, clock, SecretKeys([KEY])),
        providers=IdentityProviders(database, Sealer([SecretBytes(b"k" * 32)]), clock),
        keys=lambda: SecretKeys([KEY]),
    )
    of_flyte = {
        "flyteidl2.org.DomainService": DomainService(Domains(database, clock)),
        "flyteidl2.settings.SettingsService": SettingsService(
            ScopedSettings(database, clock, base=BASE)
        ),
    }
    async with serve(database, tmp_path, {**services, **of_flyte}) as service:
        yield service


class Program:
    """A program that runs commands with an API key."""

    def __init__(self, service: Service, person: Person) -> None:
        key = f"localhost:{API_KEY}:{API_SECRET}:{ORG}"
        self.service = service
        self.person = person
        self.environment = {
            "VOLARY_API_KEY": base64.b64encode(key.encode()).decode(),
            "VOLARY_URL": service.address,
            "VOLARY_CA_FILE": str(service.authority),
        }

    async def run(self, *arguments: str, **environment: str) -> Done:
        await self.service.world.read_revocations()  # no loop does here
        done = await self.person.run(*arguments, **{**self.environment, **environment})
        assert "Traceback" not in done.err
        return done

    async def json(self, *arguments: str) -> Any:
        return (await self.run(*arguments, "--output", "json")).json


@pytest.fixture
def program(service: Service, person: Person) -> Program:
    return Program(service, person)
