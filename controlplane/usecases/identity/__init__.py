"""Use cases of orgs, members, roles, service accounts, API keys, invitations, the audit log."""
