"""Tests that share a costly fixture are one group, and groups come in the order of their length."""

import re
import subprocess
import sys
from pathlib import Path

from tests.distribution import group_by_shared, order

ROOT = Path(__file__).parents[3]


def test_fixtures_that_one_test_uses_are_in_one_group() -> None:
    uses = [{"stack"}, {"stack", "reader"}, {"reader"}, {"helm"}, {"created", "stack"}, set()]
    groups = group_by_shared(map(frozenset, uses))
    assert groups["stack"] == groups["reader"] == groups["created"]
    assert groups["helm"] == "helm"
    assert set(groups) == {"stack", "reader", "helm", "created"}


def test_chain_of_tests_joins_fixtures_that_no_test_uses_together() -> None:
    chain = [{"a", "b"}, {"c", "d"}, {"d", "e"}, {"b", "c"}, {"x", "y"}]
    groups = group_by_shared(map(frozenset, chain))
    assert {groups[name] for name in "abcde"} == {"a"}
    assert {groups[name] for name in "xy"} == {"x"}


def test_group_of_the_node_comes_first_and_others_by_their_size() -> None:
    groups = ["helm"] * 3 + [":kube_api"] * 5 + [":kube_node"] * 2 + ["doctor"] * 3
    assert order(groups) == [":kube_node", ":kube_api", "doctor", "helm"]


def test_tests_of_a_fixture_run_in_one_worker_and_others_are_shared_out() -> None:
    shared, single = "tests/unit/copilot/test_startup.py", "tests/unit/shared/kit/test_gzip.py"
    command = [sys.executable, "-m", "pytest", "-v", "-n2", shared, single]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)  # noqa: S603
    found = re.findall(r"\[(gw\d)\].* PASSED (\S+?)::(\S+)", done.stdout)
    of_fixture = [
        worker for worker, file, test in found if file == shared and "imports_exclude" in test
    ]
    assert len(of_fixture) > 2
    assert len(set(of_fixture)) == 1
    assert {worker for worker, _, _ in found} == {"gw0", "gw1"}
