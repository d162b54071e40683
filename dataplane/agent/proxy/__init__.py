"""
The API proxy, through which pods reach the control plane's API; they have no other access.

An authenticating reverse proxy with an allow-list of calls, and the copilot's signer.
"""
