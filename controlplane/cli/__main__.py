"""``python -m controlplane.cli``: the ``volary`` command where it is not installed."""

from controlplane.cli import main

if __name__ == "__main__":
    main()
