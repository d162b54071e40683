"""Tests of what metrics show of many orgs and pools."""

from datetime import timedelta

from controlplane.core.fleet_load import (
    MOST_ORGS,
    MOST_POOLS,
    OTHERS,
    FleetLoad,
    OrgLoad,
    PoolLoad,
    bounded,
)


def pool(number: int, *, waiting: int = 1) -> PoolLoad:
    return PoolLoad(
        org=f"org{number}", pool="gpus", waiting=waiting, oldest=timedelta(seconds=number)
    )


def test_fleet_load_keeps_pools_with_oldest_waiting_actions_and_sums_others() -> None:
    load = bounded(FleetLoad(pools=[pool(number) for number in range(1_000)]))
    assert [each.org for each in load.pools[:2]] == ["org999", "org998"]
    assert len(load.pools) == MOST_POOLS + 1
    others = load.pools[-1]
    assert (others.org, others.pool, others.waiting) == (OTHERS, OTHERS, 1_000 - MOST_POOLS)
    assert others.oldest == timedelta(seconds=999 - MOST_POOLS)


def test_fleet_load_keeps_orgs_with_most_actions_and_sums_others() -> None:
    orgs = [OrgLoad(org=f"org{number}", waiting=number, leased=1) for number in range(1_000)]
    load = bounded(FleetLoad(orgs=orgs))
    assert load.orgs[0].org == "org999"
    assert len(load.orgs) == MOST_ORGS + 1
    assert sum(each.waiting for each in load.orgs) == sum(range(1_000))
    assert sum(each.leased for each in load.orgs) == 1_000


def test_fleet_load_of_few_orgs_has_no_others() -> None:
    load = bounded(FleetLoad(pools=[pool(1)], orgs=[OrgLoad(org="acme", waiting=1)]))
    assert [each.org for each in load.pools] == ["org1"]
    assert [each.org for each in load.orgs] == ["acme"]
