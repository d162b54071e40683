"""Runs the ``volary`` command as ``python -m controlplane.cli``, where it is not installed."""

from controlplane.cli import main

if __name__ == "__main__":
    main()
