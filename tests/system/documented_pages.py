"""Pages of the documentation whose commands a test runs, in their order."""

from tests.doc_commands import ROOT

RUN_PAGES = (ROOT / "docs/tutorial.md",)
