"""Stores the identity of agents: authorities, enrolments, certificates."""
