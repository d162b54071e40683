"""Two orgs with their people, who call the platform API with JSON over HTTP."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from controlplane.core.callers import Caller, Subject
from controlplane.core.errors import UnauthenticatedError
from controlplane.core.identity import User
from controlplane.store.database import Database
from controlplane.store.identity import members
from controlplane.store.identity.grants import resolve_caller
from controlplane.usecases.identity.users import Users
from shared.kit.clock import SystemClock
from shared.model.ids import OrgName
from tests.integration.platform.openapi import PACKAGE, find_problems

THEIRS = OrgName("theirs")


class RefusedError(Exception):
    """An error that the API answered."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.status = status
        self.code = code
        self.message = message


class BySubject:
    """Authenticates ``Bearer <org> <subject>`` with what the database grants the subject."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def authenticate(self, headers: Mapping[str, str], _peer: str | None) -> Caller:
        named = headers.get("authorization", "").removeprefix("Bearer ").split()
        if len(named) != 2:
            raise UnauthenticatedError("the call carries no credential")
        async with self._database.for_org(OrgName(named[0])) as tx:
            caller = await resolve_caller(tx, Subject(named[1]))
        if caller is None:
            raise UnauthenticatedError("no member of the org")
        return caller


@dataclass(frozen=True, slots=True)
class Person:
    """A member of an org, or a service account, with the address of the API."""

    http: httpx.AsyncClient
    org: OrgName
    subject: Subject

    @property
    def id(self) -> str:
        return self.subject.partition(":")[2]

    async def call(self, rpc: str, **request: Any) -> Any:
        """Call "OrgService/GetOrg" with the request's fields; return the answer's JSON."""
        answer = await self.post(rpc, request)
        body = answer.json()
        problems = find_problems(rpc, request, answer)
        if problems:
            raise AssertionError(f"{rpc} differs from its OpenAPI document: {problems}")
        if answer.is_success:
            return body
        raise RefusedError(answer.status_code, body["code"], body["message"])

    async def post(self, rpc: str, request: object) -> httpx.Response:
        headers = {"authorization": f"Bearer {self.org} {self.subject}"}
        return await self.http.post(f"/{PACKAGE}.{rpc}", json=request, headers=headers)


@dataclass(frozen=True, slots=True)
class World:
    """``ada`` owns the org acme, and ``eve`` another one."""

    database: Database
    http: httpx.AsyncClient
    ada: Person
    eve: Person

    async def join(self, name: str, role: str, org: OrgName | None = None) -> Person:
        """Log a person in, and make them a member with a role."""
        user = await log_in(self.database, name)
        org = org or self.ada.org
        async with self.database.for_org(org) as tx:
            await members.add_member(tx, user, role, source="test", now=SystemClock().now())
        return Person(self.http, org, user.subject)


async def log_in(database: Database, name: str) -> User:
    return await Users(database, SystemClock()).log_in(
        "https://provider", name, email=f"{name}@{name}.example", email_verified=True, name=name
    )
