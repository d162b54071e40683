"""A real Prometheus scrapes replicas with the charts' rules; a fault makes an alert fire."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from flyteidl2.common.phase_pb2 import ActionPhase

from scripts.alert_rules import FILES
from tests.integration.replicas.world import World, nap
from tests.running import until
from tests.servers.prometheus import Prometheus, scraping

_FIRING_SECONDS = 120


def impatient(home: Path) -> Path:
    """Copy the control plane's rules, with alerts that fire as soon as their condition holds."""
    rules = yaml.safe_load(FILES["controlplane"].read_text())
    for group in rules["groups"]:
        group["interval"] = "1s"
        for rule in group["rules"]:
            if "alert" in rule:
                rule["for"] = "0s"
    file = home / "rules.yaml"
    file.write_text(yaml.safe_dump(rules))
    return file


async def until_fires(prometheus: Prometheus, name: str) -> Mapping[str, Any]:
    async with asyncio.timeout(_FIRING_SECONDS):
        while True:
            for alert in await asyncio.to_thread(prometheus.alerts):
                if alert["labels"]["alertname"] == name and alert["state"] == "firing":
                    return alert
            await asyncio.sleep(0.2)


async def test_killed_agent_with_a_running_action_makes_an_alert_fire_that_links_to_its_runbook(
    own_world: World, tmp_path: Path
) -> None:
    replica, *others = own_world.replicas
    own_world.start_agent(replica)
    root = await own_world.start(replica, nap(600))
    await replica.api.phase(root, ActionPhase.ACTION_PHASE_RUNNING)
    targets = [f"127.0.0.1:{each.http_port}" for each in (replica, *others)]
    with scraping(tmp_path, targets, [impatient(tmp_path)]) as prometheus:
        await until(lambda: are_scraped(prometheus), "all replicas are scraped")
        before = {each["labels"]["alertname"] for each in prometheus.alerts()}
        own_world.agent.kill()
        alert = await until_fires(prometheus, "VolaryClusterSilent")
    assert "VolaryClusterSilent" not in before
    assert alert["labels"]["severity"] == "page"
    assert alert["annotations"]["summary"].startswith("1 clusters with leased actions")
    assert alert["annotations"]["runbook_url"].endswith("#volaryclustersilent")


async def are_scraped(prometheus: Prometheus) -> bool:
    found = await asyncio.to_thread(prometheus.get, "/api/v1/targets?state=active")
    return [each["health"] for each in found["activeTargets"]] == ["up"] * 3
