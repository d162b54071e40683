"""``python -m dataplane.agent``."""

from dataplane.agent.cli import main

main()
