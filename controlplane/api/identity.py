"""IdentityService and AuthMetadataService: the caller's identity, and metadata for logging in."""

from flyteidl2.auth.auth_service_pb2 import (
    GetOAuth2MetadataRequest,
    GetOAuth2MetadataResponse,
    GetPublicClientConfigRequest,
    GetPublicClientConfigResponse,
)
from flyteidl2.auth.identity_pb2 import UserInfoRequest, UserInfoResponse

from controlplane.core.callers import Caller


class IdentityService:
    async def user_info(self, caller: Caller, _request: UserInfoRequest) -> UserInfoResponse:
        return UserInfoResponse(
            subject=caller.subject, name=caller.name, preferred_username=caller.subject
        )


class AuthMetadataService:
    """
    Serves the metadata that a client fetches before it logs in, anonymously.

    In anonymous mode there is no login, so no endpoint is named. The header's name is set: the SDK
    uses the field as a header name even if it is empty.
    """

    def __init__(self, public_url: str) -> None:
        self._public_url = public_url

    async def get_oauth2_metadata(
        self, _caller: Caller, _request: GetOAuth2MetadataRequest
    ) -> GetOAuth2MetadataResponse:
        return GetOAuth2MetadataResponse(issuer=self._public_url)

    async def get_public_client_config(
        self, _caller: Caller, _request: GetPublicClientConfigRequest
    ) -> GetPublicClientConfigResponse:
        return GetPublicClientConfigResponse(
            authorization_metadata_key="authorization", service_http_endpoint=self._public_url
        )
