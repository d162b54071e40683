"""IdentityService and AuthMetadataService: the caller's identity, and metadata for logging in."""

from flyteidl2.auth.auth_service_pb2 import (
    GetOAuth2MetadataRequest,
    GetOAuth2MetadataResponse,
    GetPublicClientConfigRequest,
    GetPublicClientConfigResponse,
)
from flyteidl2.auth.identity_pb2 import UserInfoRequest, UserInfoResponse

from controlplane.core import oauth
from controlplane.core.callers import Caller


class IdentityService:
    async def user_info(self, caller: Caller, _request: UserInfoRequest) -> UserInfoResponse:
        """Return what the caller's login says; families' names and pictures are not kept."""
        info = UserInfoResponse(
            subject=caller.subject,
            name=caller.name,
            preferred_username=caller.email or caller.subject,
            email=caller.email,
        )
        info.additional_claims.update({"org": caller.org})
        return info


class AuthMetadataService:
    """
    Serves the metadata that a client fetches before it logs in, anonymously.

    Without logins no endpoint is named. The header's name is set all the time: the SDK uses the
    field as a header name even if it is empty. ``callback``: the redirect address that the SDK is to
    use; it listens on its port.
    """

    def __init__(
        self, public_url: str, *, has_logins: bool = False, callback: str = oauth.CALLBACK
    ) -> None:
        self._public_url = public_url
        self._has_logins = has_logins
        self._callback = callback

    async def get_oauth2_metadata(
        self, _caller: Caller, _request: GetOAuth2MetadataRequest
    ) -> GetOAuth2MetadataResponse:
        if not self._has_logins:
            return GetOAuth2MetadataResponse(issuer=self._public_url)
        return GetOAuth2MetadataResponse(
            issuer=self._public_url,
            authorization_endpoint=self._public_url + oauth.AUTHORIZE,
            token_endpoint=self._public_url + oauth.TOKEN,
            device_authorization_endpoint=self._public_url + oauth.DEVICE,
            jwks_uri=self._public_url + oauth.JWKS,
            response_types_supported=["code"],
            scopes_supported=[oauth.SCOPE],
            token_endpoint_auth_methods_supported=["client_secret_basic", "none"],
            code_challenge_methods_supported=["S256"],
            grant_types_supported=oauth.GRANT_TYPES,
        )

    async def get_public_client_config(
        self, _caller: Caller, _request: GetPublicClientConfigRequest
    ) -> GetPublicClientConfigResponse:
        config = GetPublicClientConfigResponse(
            authorization_metadata_key="authorization", service_http_endpoint=self._public_url
        )
        if self._has_logins:
            config.client_id = oauth.FLYTE.id
            config.redirect_uri = self._callback
            config.scopes.append(oauth.SCOPE)
        return config
