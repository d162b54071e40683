"""The doctor in front of a real API server, as the agent that the chart installed."""

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from dataplane.agent import cli
from dataplane.agent.doctor.checks import run_checks
from dataplane.agent.doctor.regular import run_regular_checks
from dataplane.agent.doctor.results import CheckResult, Outcome
from dataplane.agent.settings import Settings
from shared.kit.clock import Clock, SystemClock
from shared.kit.settings import read
from shared.model.findings import FindingOutcome
from tests.kube.api.install.conftest import NAME, Installed, installed
from tests.kube.client import KubeClient, wait_until
from tests.kube.controlplane import KubeForTests
from tests.ports import free_ports
from tests.servers.helm import Helm

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


class Late(SystemClock):
    def now(self) -> datetime:
        return super().now() - timedelta(minutes=1)


async def settings_of(agent: Installed, **changes: str) -> Settings:
    """Read what the chart tells the agent, as the agent does, with some of it changed."""
    async with agent.kube.client() as administrator:
        last_reported = await administrator.get(
            f"/api/v1/namespaces/{agent.namespace}/configmaps/{NAME}"
        )
    nowhere = f"127.0.0.1:{free_ports(1)[0]}"
    here = {"kubeconfig": str(agent.kubeconfig()), "control_plane": nowhere}
    environment = last_reported["data"] | {
        f"VOLARY_AGENT_{name.upper()}": value
        for name, value in {**here, "public_endpoint": nowhere, **changes}.items()
    }
    return read(Settings, environment)


async def look(
    agent: Installed, about: str, *, clock: Clock | None = None, **changes: str
) -> Sequence[CheckResult]:
    """Examine, and return what is found about one thing."""
    settings = await settings_of(agent, **changes)
    findings = await run_checks(settings, [], clock or SystemClock())
    return [finding for finding in findings if finding.about == about]


async def look_until(agent: Installed, about: str, outcome: Outcome) -> Sequence[CheckResult]:
    """The same, once the API server has heard of roles that were just bound."""
    findings: Sequence[CheckResult] = []

    async def is_so() -> bool:
        nonlocal findings
        findings = await look(agent, about)
        return {finding.outcome for finding in findings} == {outcome}

    await wait_until(is_so, f"{about} is {outcome}")
    return findings


async def test_installed_agent_passes_all_checks(agent: Installed) -> None:
    (permissions,) = await look_until(agent, "permissions", Outcome.OK)
    assert "rules that are needed are granted" in permissions.text
    kubernetes = await look_until(agent, "kubernetes", Outcome.OK)
    assert [finding.text for finding in kubernetes] == [
        "the API server answers, version 1.36",
        "taskactions.volary.dev is there",
    ]
    assert [finding.outcome for finding in await look(agent, "clock")] == [Outcome.OK]
    (namespaces,) = await look(agent, "namespaces")
    assert namespaces.text == "{project}-{domain}: the agent creates them"
    (proxy,) = await look(agent, "proxy")
    assert "yet" in proxy.text  # for no agent has started


async def test_missing_roles_are_listed(
    helm: Helm, kube_api: KubeForTests, api: KubeClient
) -> None:
    async with installed(helm, kube_api, api, rbac__create=False) as agent:
        found = await look(agent, "permissions")
    texts = {finding.text for finding in found}
    assert {finding.outcome for finding in found} == {Outcome.FAIL}
    assert "may not create, delete, get, list, watch pods in every namespace (tasks)" in texts
    assert any(
        text.startswith(f"may not get, update leases.coordination.k8s.io {NAME} in")
        for text in texts
    )
    assert any(text.startswith("may not create tokenreviews.authentication") for text in texts)
    assert all("rbac.create" in finding.remedy for finding in found)


async def test_single_missing_permission_is_named_alone(agent: Installed, api: KubeClient) -> None:
    await look_until(agent, "permissions", Outcome.OK)
    path = f"/apis/rbac.authorization.k8s.io/v1/clusterroles/{agent.namespace}.{NAME}-tasks"
    role = await api.get(path)
    rules = [rule for rule in role["rules"] if rule["resources"] != ["pods/log"]]
    await api.patch(path, {"rules": rules})
    (found,) = await look_until(agent, "permissions", Outcome.FAIL)
    assert found.text.startswith("may not get pods/log in every namespace")


async def test_missing_task_action_definition_names_its_remedy(
    agent: Installed, api: KubeClient
) -> None:
    await look_until(agent, "kubernetes", Outcome.OK)
    path = f"{DEFINITIONS}/taskactions.volary.dev"
    definition = await api.get(path)
    await api.delete(path)
    await api.wait_until_gone(path)
    try:
        found = (await look(agent, "kubernetes"))[1]
        assert found.outcome is Outcome.FAIL
        assert "kubectl apply --server-side" in found.remedy
    finally:
        metadata = {"name": definition["metadata"]["name"]}
        await api.create(DEFINITIONS, {"metadata": metadata, "spec": definition["spec"]})


async def test_late_clock_is_reported_with_its_skew(agent: Installed) -> None:
    (found,) = await look(agent, "clock", clock=Late())
    assert found.outcome is Outcome.FAIL
    assert "behind the API server's" in found.text
    assert 50 < float(found.text.split()[0]) < 70  # it is late by 60, give or take an answer


async def test_unreachable_api_server_is_reported(agent: Installed, tmp_path: Path) -> None:
    config = json.loads(agent.kubeconfig().read_text())
    config["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{free_ports(1)[0]}"
    nowhere = tmp_path / "kubeconfig"
    nowhere.write_text(json.dumps(config))
    (found,) = await look(agent, "kubernetes", kubeconfig=str(nowhere))
    assert found.outcome is Outcome.FAIL
    assert "no answer from the API server" in found.text
    (found,) = await look(agent, "kubernetes", kubeconfig=str(tmp_path / "absent"))
    assert "cannot be used" in found.text


async def test_task_namespace_and_its_secrets_are_checked(
    agent: Installed, api: KubeClient
) -> None:
    agent.upgrade(tasks__pullSecrets=["registry"])
    (found,) = await look(agent, "namespaces", namespace_template="not-there")
    assert found.text == "there is no not-there"
    assert found.remedy == "kubectl create namespace not-there"

    async with api.namespace() as tasks:
        (found,) = await look(agent, "namespaces", namespace_template=tasks)
        assert found.text == f"{tasks} enforces no Pod Security level"
        path = f"/api/v1/namespaces/{tasks}"
        label = "volary.dev/managed"
        await api.patch(path, {"metadata": {"labels": {label: None}}})
        (found,) = await look(agent, "namespaces", namespace_template=tasks)
        assert found.remedy == f"kubectl label namespace {tasks} {label}=true"
        await api.patch(path, {"metadata": {"labels": {label: "true"}}})

        async def is_missed() -> bool:
            images = await look(agent, "images", namespace_template=tasks)
            return bool(images) and "for pulling images does not exist" in images[0].text

        await wait_until(is_missed, "the Secret is missed")
        secrets = f"/api/v1/namespaces/{tasks}/secrets"
        await api.create(secrets, {"metadata": {"name": "registry"}})
        (found,) = await look(agent, "images", namespace_template=tasks)
        assert "which cannot be used to pull images" in found.text
        await api.delete(f"{secrets}/registry")
        await api.create(
            secrets,
            {
                "metadata": {"name": "registry"},
                "type": "kubernetes.io/dockerconfigjson",
                "stringData": {".dockerconfigjson": '{"auths": {}}'},
            },
        )
        (found,) = await look(agent, "images", namespace_template=tasks)
        assert found.outcome is Outcome.OK


async def test_operator_is_found_and_missing_permissions_are_named(
    agent: Installed, api: KubeClient
) -> None:
    await look_until(agent, "permissions", Outcome.OK)
    assert not await look(agent, "plugins")
    await api.create(DEFINITIONS, _definition("rayjobs", "ray.io"))
    try:
        (found,) = await look_until(agent, "plugins", Outcome.WARN)
        assert "rayjobs.ray.io is served, but the agent may not use it" in found.text
        assert "plugins.ray" in found.remedy
        agent.upgrade(plugins__ray=True)
        (found,) = await look_until(agent, "plugins", Outcome.OK)
        assert "can be used" in found.text
    finally:
        await api.delete(f"{DEFINITIONS}/rayjobs.ray.io")
    (found,) = await look_until(agent, "plugins", Outcome.WARN)
    assert "the API server does not serve it" in found.text


async def test_proxy_without_a_service_fails(agent: Installed, api: KubeClient) -> None:
    await look_until(agent, "permissions", Outcome.OK)
    await api.delete(f"/api/v1/namespaces/{agent.namespace}/services/{NAME}-proxy")
    (found,) = await look(agent, "proxy")
    assert found.outcome is Outcome.FAIL
    assert "does not exist" in found.text


@pytest.mark.parametrize("as_json", [True, False], ids=["for programs", "for people"])
def test_doctor_command_prints_all_results_and_fails(
    kube_api: KubeForTests, tmp_path: Path, *, as_json: bool
) -> None:
    done = CliRunner().invoke(
        cli.main,
        ["doctor", *(["--json"] if as_json else [])],
        env={
            "VOLARY_AGENT_RUNTIME": "kubernetes",
            "VOLARY_AGENT_KUBECONFIG": str(kube_api.kubeconfig()),
            "VOLARY_AGENT_NAMESPACE": "default",
            "VOLARY_AGENT_CONTROL_PLANE": f"127.0.0.1:{free_ports(1)[0]}",
            "VOLARY_AGENT_TOKEN_FILE": str(tmp_path / "token"),
            "VOLARY_AGENT_PUBLIC_ENDPOINT": "127.0.0.1:1",
        },
    )
    assert done.exit_code == 1
    if as_json:
        output = json.loads(done.stdout)
        assert output["well"] is False
        assert {"about", "outcome", "text", "remedy"} == set(output["findings"][0])
    else:
        assert "ok    kubernetes" in done.stdout
        assert "FAIL  control plane" in done.stdout


def _definition(plural: str, group: str) -> dict[str, Any]:
    return {
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"plural": plural, "kind": plural.capitalize()},
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": {"type": "object"}},
                }
            ],
        },
    }


async def test_regular_checks_of_an_installed_agent_find_what_the_doctor_finds(
    agent: Installed,
) -> None:
    await look_until(agent, "permissions", Outcome.OK)
    found = await run_regular_checks(await settings_of(agent), SystemClock(), timedelta(minutes=2))
    by_about = {each.about: each.outcome for each in found if each.outcome is FindingOutcome.OK}
    assert {"kubernetes", "permissions", "namespaces"} <= by_about.keys()
    [skew] = [each for each in found if "control plane" in each.text]
    assert (skew.about, skew.outcome) == ("clock", FindingOutcome.FAULT)
    assert not [each for each in found if each.about in ("storage", "api", "proxy")]
