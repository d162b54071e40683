"""Triggers of artifacts: which versions match, and the names of their runs."""

from dataclasses import replace

import pytest

from controlplane.core.artifact_triggers import DueVersion, name_run
from controlplane.core.artifacts import (
    ArtifactKey,
    ArtifactName,
    ArtifactRow,
    Partition,
    PartitionSchema,
)
from controlplane.core.triggers import ArtifactMatch
from tests.factories import NOW, ORG
from tests.unit.controlplane.core.test_triggers import KEY, deployed

MODEL = ArtifactKey(ArtifactName(KEY.project, KEY.domain, "model"), "v1")


def due(match: ArtifactMatch | None, *, active: bool = True) -> DueVersion:
    artifact = ArtifactRow(
        key=MODEL,
        spec=b"",
        digest=b"",
        created_at=NOW,
        created_by="ada",
        partition=Partition(values={"region": "eu", "tier": "gold"}),
        schema=PartitionSchema(),
    )
    row = deployed(schedule=None, artifact=match, active=active)
    return DueVersion(row=row, artifact=artifact, task_spec=b"", effective={}, inputs=b"")


@pytest.mark.parametrize(
    ("match", "expected"),
    [
        (None, False),
        (ArtifactMatch(name="model"), True),
        (ArtifactMatch(name="model", version="v1", partitions={"region": "eu"}), True),
        (ArtifactMatch(name="model", version="v2"), False),
        (ArtifactMatch(name="model", partitions={"region": "us"}), False),
        (ArtifactMatch(name="model", partitions={"color": "red"}), False),
        (ArtifactMatch(name="other"), False),
    ],
)
def test_trigger_fires_for_versions_of_its_artifact_with_its_partitions(
    match: ArtifactMatch | None, *, expected: bool
) -> None:
    assert due(match).matches is expected


def test_inactive_trigger_fires_for_no_version() -> None:
    assert not due(ArtifactMatch(name="model"), active=False).matches


def test_name_of_a_run_follows_from_trigger_and_version() -> None:
    names = {
        name_run(ORG, KEY, MODEL),
        name_run(ORG, KEY, replace(MODEL, version="v2")),
        name_run(ORG, KEY, replace(MODEL, name=replace(MODEL.name, name="other"))),
        name_run(ORG, replace(KEY, name="weekly"), MODEL),
    }

    assert len(names) == 4
    assert name_run(ORG, KEY, MODEL) == name_run(ORG, KEY, MODEL)
