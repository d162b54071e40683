"""What is kept of objects that come in numbers."""

from dataplane.agent.kube.field_pruning import prune_fields
from dataplane.agent.kube.objects import CONFIG_MAP, EVENT, POD


def test_of_a_pod_all_is_kept_that_its_end_is_judged_by() -> None:
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


def test_of_a_pod_without_a_spec_what_there_is_is_kept() -> None:
    metadata = {"resourceVersion": "7"}

    assert prune_fields(POD, {"metadata": metadata})["metadata"] == metadata


def test_of_an_event_nothing_is_kept_that_says_nothing() -> None:
    kept = prune_fields(
        EVENT, {"metadata": {"name": "e"}, "reason": "Pulled", "action": "x", "series": None}
    )

    assert kept == {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": "e"},
        "reason": "Pulled",
    }


def test_other_kinds_are_kept_whole() -> None:
    data = {"a": ["b"], "c": {"d": "e"}}

    assert prune_fields(CONFIG_MAP, {"metadata": {"name": "m"}, "data": data})["data"] == data
