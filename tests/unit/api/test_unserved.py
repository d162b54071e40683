"""Messages of RPCs that are not served."""

from pathlib import Path

from controlplane.api import server
from controlplane.api.permissions import PERMISSIONS, Access
from controlplane.api.unserved import REASONS, explain

PAGE = (Path(__file__).parents[3] / "docs" / "flyte-api.md").read_text()
UNBUILT = {
    f"{service}/{method}"
    for service, methods in PERMISSIONS.items()
    for method, access in methods.items()
    if access is Access.UNBUILT
}


def test_every_reason_is_of_an_rpc_that_is_not_served() -> None:
    unused = [
        beginning
        for beginning in REASONS
        if not any(name.startswith(beginning) for name in UNBUILT)
    ]
    assert not unused


def test_rpc_that_is_never_served_names_what_does_it_instead() -> None:
    message = explain("flyteidl2.workflow.InternalRunService/RecordAction")

    assert "agents report attempts" in message
    assert "InternalRunService/RecordAction" in message
    assert "by this release" in explain("flyteidl2.app.AppService/Create")


def test_page_of_flytes_api_names_every_service_and_every_rpc_that_is_never_served() -> None:
    services = {
        service.name
        for service in server.services()
        if service.full_name.startswith("flyteidl2.") and service.name != "CacheService"
    }
    assert not {name for name in services if f"`{name}`" not in PAGE}
    never = {name for name in UNBUILT if any(name.startswith(each) for each in REASONS)}
    methods = {name.rpartition("/")[2].removesuffix("Stream") for name in never}
    assert not {method for method in methods if method not in PAGE}
