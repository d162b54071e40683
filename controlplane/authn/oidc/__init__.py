"""
Client of identity providers (OpenID Connect): discovery, keys, codes, ID tokens, refreshes.

Everything that a provider sends is untrusted: bounded in size and time, and checked.
"""
