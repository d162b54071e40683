"""Tests of field pruning of listed and watched objects."""

from dataplane.agent.kube.field_pruning import prune_fields
from dataplane.agent.kube.objects import CONFIG_MAP, EVENT, POD


def test_pruned_pod_keeps_fields_for_classification() -> None:
    container = {
        "name": "main",
        "image": "a:1",
        "resources": {"limits": {"memory": "1Gi"}},
        "livenessProbe": {"httpGet": {"path": "/fence"}},
    }
    pod = {
        "metadata": {"name": "one", "uid": "u", "labels": {"a": "b"}, "managedFields": [{}]},
        "spec": {
            "nodeName": "node",
            "containers": [{**container, "env": [{"name": "A"}], "volumeMounts": [{}]}],
            "initContainers": [{"name": "first", "restartPolicy": "Always", "args": ["x"]}],
            "volumes": [{"name": "v"}],
        },
        "status": {"phase": "Running"},
    }

    assert prune_fields(POD, pod) == {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "one", "uid": "u", "labels": {"a": "b"}},
        "spec": {
            "nodeName": "node",
            "containers": [container],
            "initContainers": [{"name": "first", "restartPolicy": "Always"}],
        },
        "status": {"phase": "Running"},
    }


def test_pruned_pod_without_spec_keeps_the_rest() -> None:
    metadata = {"resourceVersion": "7"}

    assert prune_fields(POD, {"metadata": metadata})["metadata"] == metadata


def test_pruned_event_drops_empty_fields() -> None:
    kept = prune_fields(
        EVENT, {"metadata": {"name": "e"}, "reason": "Pulled", "action": "x", "series": None}
    )

    assert kept == {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": "e"},
        "reason": "Pulled",
    }


def test_pruning_keeps_other_kinds_whole() -> None:
    data = {"a": ["b"], "c": {"d": "e"}}

    assert prune_fields(CONFIG_MAP, {"metadata": {"name": "m"}, "data": data})["data"] == data
