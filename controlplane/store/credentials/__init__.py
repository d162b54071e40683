"""Rows of the authorization server: signing keys, codes, tokens, revocations."""
