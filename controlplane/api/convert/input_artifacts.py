"""Lists the versions of artifacts that inputs name."""

from collections.abc import Iterable, Iterator

from flyteidl2.core.literals_pb2 import Literal

from controlplane.core.artifact_lineage import MAX_INPUT_ARTIFACTS
from controlplane.core.artifacts import ArtifactKey, ArtifactName
from shared.model.ids import DomainName, ProjectName


def list_input_artifacts(literals: Iterable[Literal]) -> tuple[ArtifactKey, ...]:
    """
    List the versions that literals name, also those within lists and maps: the first hundred.

    The literals come from a client and may name anything; only versions that exist are recorded.
    """
    found: dict[ArtifactKey, None] = {}
    for literal in _walk(literals):
        if literal.HasField("artifact_id"):
            key, version = literal.artifact_id.key, literal.artifact_id.version
            name = ArtifactName(ProjectName(key.project), DomainName(key.domain), key.name)
            found[ArtifactKey(name, version)] = None
            if len(found) == MAX_INPUT_ARTIFACTS:
                break
    return tuple(found)


def _walk(literals: Iterable[Literal]) -> Iterator[Literal]:
    for literal in literals:
        yield literal
        yield from _walk(literal.collection.literals)
        yield from _walk(literal.map.literals.values())
