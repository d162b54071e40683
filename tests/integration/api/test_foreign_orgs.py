"""
Another org's names are of no use in flyteidl2's API, in whatever field of whatever RPC.

Generated over all RPCs that are served: each string that a request has in turn holds a name or
address of the other org; and all orgs in it are the other one.
"""

from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from connectrpc.code import Code
from connectrpc.errors import ConnectError
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from controlplane.api.orgs import fill_org
from controlplane.core.callers import EVERYTHING, Caller, Subject, org_wide
from controlplane.core.projects import Project
from controlplane.usecases.bootstrap import bootstrap
from shared.kit.clock import SystemClock
from shared.kit.secrets import SecretText
from shared.model.ids import ClusterName, OrgName, ProjectName
from tests.integration.api.client import DOMAIN, ORG, PROJECT, ApiUnderTest, open_api
from tests.integration.api.flyte_requests import PLATFORM, REQUESTS
from tests.integration.api.requests import create_run, deploy
from tests.integration.api.test_scopes import RPCS, call
from tests.integration.api.tracked_requests import RUN, create_tracked
from tests.integration.api.triggers import plain_trigger
from tests.integration.platform.org_rows import digest_rows

THEIRS = OrgName("theirs")
CANARY = "hidden"
"""Part of what only the other org holds; the values that are sent have KNOWN in its place."""
KNOWN = "known"
HARMLESS = {
    Code.ABORTED,
    Code.ALREADY_EXISTS,
    Code.FAILED_PRECONDITION,
    Code.INVALID_ARGUMENT,
    Code.NOT_FOUND,
    Code.PERMISSION_DENIED,
}
SDK = {
    name: make
    for name, make in REQUESTS.items()
    if not name.startswith(PLATFORM) and not RPCS[name].server_streaming
}
_SKIPPED = {"flyteidl2.core.Literal", "flyteidl2.core.TypedInterface", "google.protobuf.Struct"}


class Chosen:
    """Authenticates every call as one with all permissions in the org that the test has chosen."""

    def __init__(self) -> None:
        self.org = ORG

    async def authenticate(self, _headers: Mapping[str, str], _peer: str | None) -> Caller:
        subject = Subject(f"user:{self.org}")
        return Caller(subject=subject, org=self.org, name="", grants=org_wide(EVERYTHING))


@pytest.fixture
async def api(database_url: str, tmp_path: Path) -> AsyncIterator[ApiUnderTest]:
    """An API with a run and a task in ours, and several in the other org."""
    chosen = Chosen()
    async with open_api(database_url, tmp_path / "blobs", authn=chosen) as api:
        await bootstrap(
            api.database,
            SystemClock(),
            org=THEIRS,
            projects=[
                Project(id=ProjectName(PROJECT), name=CANARY),
                Project(id=ProjectName(f"{KNOWN}-project"), name=CANARY),
            ],
            cluster=ClusterName(f"{CANARY}-cluster"),
            cluster_token=SecretText("token-of-theirs"),
        )
        await api.runs.create_run(create_run())
        await api.tasks.deploy_task(deploy())
        await api.triggers.deploy_trigger(plain_trigger())
        await api.tracked.create_run(create_tracked())
        chosen.org = THEIRS
        for run in (RUN, f"{KNOWN}-tracked", f"{CANARY}-tracked"):
            await api.tracked.create_run(create_tracked(run))
        for run in ("r1", f"{KNOWN}-run", f"{CANARY}-run"):
            await api.runs.create_run(create_run(run))
        for word in (KNOWN, CANARY):
            await api.tasks.deploy_task(deploy(version=f"{word}-version"))
            for name in ("nightly", f"{word}-trigger"):
                await api.triggers.deploy_trigger(plain_trigger(name, version=f"{word}-version"))
        chosen.org = ORG
        yield api


def set_strings(message: Message) -> Iterator[tuple[Message, FieldDescriptor]]:
    """Yield each message below, and the string field of it that is set."""
    for field, value in message.ListFields():
        kind = field.message_type
        if kind is not None and kind.full_name in _SKIPPED:
            continue
        if kind is not None and kind.GetOptions().map_entry:
            continue
        if kind is not None:
            for each in value if field.is_repeated else [value]:
                yield from set_strings(each)
        elif field.type == FieldDescriptor.TYPE_STRING and not field.is_repeated:
            yield message, field


async def outcome(api: ApiUnderTest, name: str, request: Message) -> tuple[Code | None, str]:
    try:
        return None, str(await call(api, name, request))
    except ConnectError as error:
        return error.code, error.message


def foreign_values(api: ApiUnderTest) -> Mapping[str, str]:
    return {
        "org": THEIRS,
        "project": f"{KNOWN}-project",
        "run": f"{KNOWN}-run",
        "version": f"{KNOWN}-version",
        "trigger": f"{KNOWN}-trigger",
        "uri": f"{api.blobs.base}/{THEIRS}/{PROJECT}/{DOMAIN}/{KNOWN}-run/a0/inputs.pb",
    }


async def test_foreign_names_in_any_field_show_nothing_and_change_nothing(
    api: ApiUnderTest, owner_database_url: str
) -> None:
    before = await digest_rows(owner_database_url, THEIRS)
    calls = 0
    for name, make in SDK.items():
        count = len(list(set_strings(make(api))))
        for number in range(count):
            for value in foreign_values(api).values():
                request = make(api)
                holder, field = list(set_strings(request))[number]
                setattr(holder, field.name, value)
                code, text = await outcome(api, name, request)
                calls += 1
                assert code is None or code in HARMLESS, (name, field.full_name, code, text)
                assert CANARY not in text, (name, field.full_name, text)
    assert calls > 300
    assert await digest_rows(owner_database_url, THEIRS) == before


async def test_requests_that_name_another_org_act_in_the_caller_s(
    api: ApiUnderTest, owner_database_url: str
) -> None:
    before = await digest_rows(owner_database_url, THEIRS)
    for name, make in SDK.items():
        request = make(api)
        fill_org(request, THEIRS)
        code, text = await outcome(api, name, request)
        assert code is None or code in HARMLESS, (name, code, text)
        assert CANARY not in text, (name, text)
    assert await digest_rows(owner_database_url, THEIRS) == before


def test_requests_have_strings_to_be_changed() -> None:
    api: Any = None
    assert {field.name for _, field in set_strings(REQUESTS["RunService/AbortRun"](api))} == {
        "project", "domain", "name",
    }  # fmt: skip
