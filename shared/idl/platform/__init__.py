"""Protobuf schema of Volary's own API: orgs, members, roles, keys, the audit log."""
