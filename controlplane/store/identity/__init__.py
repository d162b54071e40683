"""Stores orgs, users, members, roles, service accounts, API keys, invitations, the audit log."""
