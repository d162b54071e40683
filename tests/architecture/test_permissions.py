"""Every RPC of flyteidl2 and of the platform API has its row in the permission table, and every row its RPC."""

from controlplane.api import server, services
from controlplane.api.permissions import PERMISSIONS, Access
from controlplane.core.callers import Permission
from controlplane.platform import make_platform


def test_permission_table_has_a_row_for_every_rpc() -> None:
    described = {
        service.full_name: {method.name for method in service.methods}
        for service in server.services()
    }
    listed = {service: set(methods) for service, methods in PERMISSIONS.items()}

    assert listed == described


def test_servicers_implement_every_rpc_marked_built() -> None:
    nothing: object = None
    served = services.services(
        runs=nothing,  # type: ignore[arg-type]  # none of them is called
        tracked_runs=nothing,  # type: ignore[arg-type]
        actions=nothing,  # type: ignore[arg-type]
        artifacts=nothing,  # type: ignore[arg-type]
        tasks=nothing,  # type: ignore[arg-type]
        task_groups=nothing,  # type: ignore[arg-type]
        people=nothing,  # type: ignore[arg-type]
        projects=nothing,  # type: ignore[arg-type]
        domains=nothing,  # type: ignore[arg-type]
        data=nothing,  # type: ignore[arg-type]
        logs=nothing,  # type: ignore[arg-type]
        secrets=nothing,  # type: ignore[arg-type]
        cache=nothing,  # type: ignore[arg-type]
        settings=nothing,  # type: ignore[arg-type]
        triggers=nothing,  # type: ignore[arg-type]
        clock=nothing,  # type: ignore[arg-type]
        base="",
        public_url="",
    )
    platform = make_platform(
        nothing,  # type: ignore[arg-type]
        nothing,  # type: ignore[arg-type]
        public_url="",
        self_service_orgs=True,
        secrets=lambda: None,  # type: ignore[arg-type,return-value]
    )
    served = {**served, **platform}
    for name, methods in PERMISSIONS.items():
        for method, access in methods.items():
            has = hasattr(served.get(name), server.snake_case(method))
            assert has is (access is not Access.UNBUILT), f"{name}/{method}"


def test_permission_table_is_sorted() -> None:
    assert [permission.value for permission in Permission] == sorted(Permission)


def test_list_rpcs_of_the_platform_api_have_pages() -> None:
    for service in server.platform_services():
        for method in service.methods:
            if method.name.startswith("List"):
                assert {"page_size", "page_token"} <= set(method.input_type.fields_by_name)
                assert "next_page_token" in method.output_type.fields_by_name
            if method.name.startswith("Update"):
                assert "update_mask" in method.input_type.fields_by_name
