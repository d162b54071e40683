"""Run the agent's command line: ``python -m dataplane.agent``."""

from dataplane.agent.cli import main

main()
