"""How one pod spec is laid over another."""

from typing import Any

import pytest

from dataplane.agent.runtimes.kubernetes.pods.merging import merge_template

_TCP = {"containerPort": 53, "protocol": "TCP"}
_UDP = {"containerPort": 53, "protocol": "UDP"}


def merged_ports(below: list[dict[str, Any]], above: list[dict[str, Any]]) -> list[dict[str, Any]]:
    template = {"containers": [{"name": "default", "ports": below}]}
    spec = {"containers": [{"name": "primary", "ports": above}]}
    ports: list[dict[str, Any]] = merge_template(template, spec, "primary")["containers"][0][
        "ports"
    ]
    return ports


@pytest.mark.parametrize(
    ("below", "above", "merged"),
    [
        ([{"containerPort": 9000}], [_TCP, _UDP], [{"containerPort": 9000}, _TCP, _UDP]),
        ([_UDP], [_TCP], [_UDP, _TCP]),
        ([_TCP], [{"containerPort": 53, "name": "dns"}], [{"containerPort": 53, "name": "dns"}]),
        ([{"containerPort": 53}], [_TCP], [_TCP]),
    ],
    ids=["others", "other protocol", "TCP is usual above", "TCP is usual below"],
)
def test_ports_are_merged_by_number_and_protocol(
    below: list[dict[str, Any]], above: list[dict[str, Any]], merged: list[dict[str, Any]]
) -> None:
    assert merged_ports(below, above) == merged
