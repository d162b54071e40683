"""Agents enrol, renew and are revoked: on a real database, and over real TLS."""
