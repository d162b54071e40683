"""
The door: how pods reach the control plane's API, through their agent and not otherwise.

An authenticating reverse proxy with an allow-list of calls, and the copilot's signer.
"""
