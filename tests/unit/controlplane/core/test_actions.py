"""Tests of what lists and watchers see of actions."""

from controlplane.core.actions import AttemptDetail
from shared.model.phases import Phase
from tests.factories import NOW


def test_attempt_names_the_source_of_its_log_after_its_cluster_and_number() -> None:
    attempt = AttemptDetail(
        number=2,
        phase=Phase.RUNNING,
        cluster="c1",
        started_at=NOW,
        ended_at=None,
        failure=None,
        output_uri="",
        report_uri="",
        log_uri="",
        log_links=(),
        logs_available=True,
        transitions=(),
        events=(),
    )
    assert attempt.pod_name == "c1-2"
