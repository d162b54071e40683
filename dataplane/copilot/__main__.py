"""Entry point of ``python -m dataplane.copilot``."""

from dataplane.copilot.cli import main

main()
