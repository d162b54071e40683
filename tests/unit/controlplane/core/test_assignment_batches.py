"""Division of assignments into messages of bounded size."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, strategies as st

from controlplane.core import assignment_batches
from controlplane.core.assignment_batches import batch_assignments
from shared.model.ids import Digest
from tests.unit.agent.assignments import make_assignment

SPECS = {Digest(bytes([number]) * 32): bytes(number) for number in range(10)}


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=20))
def test_assignment_batches_bring_each_spec_once_and_in_time(
    named: Sequence[tuple[int, int]],
) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(assignment_batches, "BATCH_BYTES", 12)
        digests = list(SPECS)
        assignments = [
            replace(make_assignment(at + 1), task_spec=digests[task], run_spec=digests[run])
            for at, (task, run) in enumerate(named)
        ]
        batches = list(batch_assignments(assignments, SPECS))
    assert [each for batch in batches for each in batch.assignments] == assignments
    sent: set[Digest] = set()
    for batch in batches:
        assert not sent & batch.specs.keys()
        sent |= batch.specs.keys()
        assert all({each.task_spec, each.run_spec} <= sent for each in batch.assignments)
        assert len(batch.assignments) == 1 or sum(map(len, batch.specs.values())) <= 12
    assert sent == {digest for each in assignments for digest in (each.task_spec, each.run_spec)}
