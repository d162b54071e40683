"""The failures page documents every failure code of an attempt in a cluster."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
RUNTIME = ROOT / "dataplane" / "agent" / "runtimes" / "kubernetes"
_CODE = re.compile(r'\bcode="(\w+)"|_given_up\(\s*"(\w+)"')


def test_failures_page_documents_every_pod_failure_code() -> None:
    sources = [*RUNTIME.glob("*.py"), ROOT / "dataplane" / "agent" / "core" / "endings.py"]
    codes = {
        code
        for source in sources
        for found in _CODE.findall(source.read_text())
        for code in found
        if code
    }
    page = (ROOT / "docs" / "failures.md").read_text()

    assert len(codes) > 20
    of_the_machine = {"ProcessLost", "UserError"}  # of local processes, and of what has no code
    assert {code for code in codes if code not in page} <= of_the_machine
