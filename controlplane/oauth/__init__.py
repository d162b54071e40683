"""
The OAuth2 authorization server that the SDK and CLI see, on the public port.

Authlib's grants decide about protocol; state is in ``controlplane.usecases``. People log in at
their org's identity provider, behind a :class:`controlplane.oauth.login_gate.LoginGate`.
"""
