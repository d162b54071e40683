"""``make release``: builds a release of the commit that is checked out into ``dist/release``."""

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from scripts.release import changelog, components, licences, statements
from scripts.release.artifacts import PLATFORMS, build_charts, build_provider, build_python
from scripts.release.source import ReleaseError, Source

ROOT = Path(__file__).parents[2]
_INTO = ROOT / "dist" / "release"


def main() -> int:
    parser = argparse.ArgumentParser(prog="make release", description=__doc__)
    parser.add_argument("--signing-key", type=Path, help="a private key of ssh-keygen")
    options = parser.parse_args()
    try:
        build(Source.read(ROOT), _INTO, signing_key=options.signing_key)
    except ReleaseError as error:
        print(f"There is no release.\n{error}", file=sys.stderr)
        return 1
    return 0


def build(
    source: Source,
    into: Path,
    *,
    signing_key: Path | None,
    platforms: Sequence[str] = PLATFORMS,
) -> None:
    """Build everything beside ``into``, and replace it at the end; ReleaseError says what fails."""
    root = source.root
    contained = [
        *components.python_components(),
        *components.go_components(root),
        *components.npm_components(root),
    ]
    if refused := licences.find_refused(contained):
        raise ReleaseError("\n".join(refused))
    console = root / "controlplane/web/console"
    if not (console / "index.html").exists():
        raise ReleaseError("the console is not built: run make console, a release contains it")
    unfinished = into.with_name(f"{into.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    build_python(source, unfinished, console=console)
    build_charts(source, unfinished)
    build_provider(source, unfinished, platforms)
    section = changelog.render_section(root / ".changes", source.version, source.date.date())
    (unfinished / "CHANGELOG.md").write_text(section)
    (unfinished / "sbom.cdx.json").write_text(statements.render_bill(source, contained))
    digests = statements.digests_of(unfinished)
    (unfinished / "provenance.json").write_text(statements.render_provenance(source, digests))
    checksums = unfinished / statements.CHECKSUMS
    checksums.write_text(statements.render_checksums(statements.digests_of(unfinished)))
    if signing_key is not None:
        statements.sign(checksums, signing_key.resolve())
    shutil.rmtree(into, ignore_errors=True)
    unfinished.rename(into)
    print(f"{source.version} of {source.commit[:12]} is in {into}:")
    print("".join(f"  {path.name}\n" for path in sorted(into.iterdir())), end="")
    if signing_key is None:
        print("It is not signed: SIGNING_KEY=file signs it.")


if __name__ == "__main__":
    sys.exit(main())
