"""Divides assignments into messages of bounded size."""

from collections.abc import Iterable, Iterator, Mapping

from shared.model.assignments import Assignment
from shared.model.ids import Digest
from shared.model.link_messages import Assignments

BATCH_BYTES = 8 * 1024 * 1024
"""Bytes of specs in one message; a single larger spec may exceed it."""


def batch_assignments(
    assignments: Iterable[Assignment], specs: Mapping[Digest, bytes]
) -> Iterator[Assignments]:
    """
    Divide assignments into messages; a spec is in or before the one that first names it.

    No message has more than ``BATCH_BYTES`` of specs, however many assignments bring a large
    one each, unless the specs of one assignment do.
    """
    unsent = dict(specs)
    batch: list[Assignment] = []
    along: dict[Digest, bytes] = {}
    size = 0
    for assignment in assignments:
        named = {assignment.task_spec, assignment.run_spec}
        new = {digest: unsent.pop(digest) for digest in named if digest in unsent}
        weight = sum(len(body) for body in new.values())
        if batch and size + weight > BATCH_BYTES:
            yield Assignments(batch, along)
            batch, along, size = [], {}, 0
        batch.append(assignment)
        along |= new
        size += weight
    if batch:
        yield Assignments(batch, along)
