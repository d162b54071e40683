"""Contract tests of the simulations' model of Postgres against the real store."""
