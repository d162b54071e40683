"""SettingsService: reads, creates and replaces what orgs, domains and projects give their runs."""

from flyteidl2.settings.settings_service_pb2 import (
    CreateSettingsRequest,
    CreateSettingsResponse,
    GetSettingsForEditRequest,
    GetSettingsForEditResponse,
    GetSettingsRequest,
    GetSettingsResponse,
    UpdateSettingsRequest,
    UpdateSettingsResponse,
)

from controlplane.api.convert import scoped_settings as convert
from controlplane.core.callers import Caller
from controlplane.core.scoped_settings import resolve
from controlplane.usecases.scoped_settings import ScopedSettings


class SettingsService:
    def __init__(self, settings: ScopedSettings) -> None:
        self._settings = settings

    async def get_settings(
        self, caller: Caller, request: GetSettingsRequest
    ) -> GetSettingsResponse:
        levels = await self._settings.list_levels(caller, convert.parse_key(request.key))
        effective = resolve(levels)
        return GetSettingsResponse(
            settingsRecord=convert.render_effective(caller.org, levels[-1], effective)
        )

    async def get_settings_for_edit(
        self, caller: Caller, request: GetSettingsForEditRequest
    ) -> GetSettingsForEditResponse:
        levels = await self._settings.list_levels(caller, convert.parse_key(request.key))
        return GetSettingsForEditResponse(
            requestedKey=request.key,
            levels=[convert.render_record(caller.org, each) for each in levels],
        )

    async def create_settings(
        self, caller: Caller, request: CreateSettingsRequest
    ) -> CreateSettingsResponse:
        record = await self._settings.create(
            caller, convert.parse_key(request.key), convert.parse_settings(request.settings)
        )
        return CreateSettingsResponse(settingsRecord=convert.render_record(caller.org, record))

    async def update_settings(
        self, caller: Caller, request: UpdateSettingsRequest
    ) -> UpdateSettingsResponse:
        record = await self._settings.update(
            caller,
            convert.parse_key(request.key),
            convert.parse_settings(request.settings),
            version=request.version,
        )
        return UpdateSettingsResponse(settingsRecord=convert.render_record(caller.org, record))
