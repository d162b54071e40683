"""Where attempts run. Each runtime keeps the one protocol in ``runtimes.protocol``."""
