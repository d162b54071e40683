"""Metadata of the authorization server (RFC 8414), for clients that discover it over HTTP."""

from collections.abc import Mapping
from typing import Any

from controlplane.authn.signing_keys import ALGORITHM
from controlplane.core.oauth import (
    AUTHORIZE,
    DEVICE,
    GRANT_TYPES,
    INTROSPECT,
    JWKS,
    REVOKE,
    SCOPE,
    TOKEN,
)

WELL_KNOWN = (
    "/.well-known/oauth-authorization-server",
    "/.well-known/openid-configuration",
)

_SECRET = ["client_secret_basic", "client_secret_post"]


def describe(public_url: str) -> Mapping[str, Any]:
    """Return the document; the same for both well-known addresses, though no ID tokens are issued."""
    return {
        "issuer": public_url,
        "authorization_endpoint": public_url + AUTHORIZE,
        "token_endpoint": public_url + TOKEN,
        "device_authorization_endpoint": public_url + DEVICE,
        "revocation_endpoint": public_url + REVOKE,
        "introspection_endpoint": public_url + INTROSPECT,
        "jwks_uri": public_url + JWKS,
        "scopes_supported": [SCOPE],
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": GRANT_TYPES,
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": [*_SECRET, "none"],
        "revocation_endpoint_auth_methods_supported": [*_SECRET, "none"],
        "introspection_endpoint_auth_methods_supported": _SECRET,
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": [ALGORITHM],
    }
