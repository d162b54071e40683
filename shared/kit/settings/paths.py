"""Kinds of settings that are paths; apart from the others, because pure packages know no files."""

from pathlib import Path

from shared.kit.settings.kinds import Kind


def path(metavar: str = "FILE") -> Kind[Path]:
    """Accept a path, relative to the directory in which the program was started."""
    return Kind(accepts="a path of this machine", parse=Path, metavar=metavar)


def directory() -> Kind[Path]:
    """Accept the path of a directory; returns it as an absolute one, without links."""
    return Kind(
        accepts="a directory of this machine",
        parse=lambda text: Path(text).resolve(),
        metavar="DIRECTORY",
    )
