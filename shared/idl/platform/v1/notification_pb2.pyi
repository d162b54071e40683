import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import field_mask_pb2 as _field_mask_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Delivery(_message.Message):
    __slots__ = ("id", "project", "domain", "run", "action", "phase", "channel", "receiver", "state", "tries", "status", "error", "created_at", "due_at", "ended_at", "delivery_config")
    ID_FIELD_NUMBER: _ClassVar[int]
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    RECEIVER_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    TRIES_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    DUE_AT_FIELD_NUMBER: _ClassVar[int]
    ENDED_AT_FIELD_NUMBER: _ClassVar[int]
    DELIVERY_CONFIG_FIELD_NUMBER: _ClassVar[int]
    id: str
    project: str
    domain: str
    run: str
    action: str
    phase: str
    channel: str
    receiver: str
    state: str
    tries: int
    status: int
    error: str
    created_at: _timestamp_pb2.Timestamp
    due_at: _timestamp_pb2.Timestamp
    ended_at: _timestamp_pb2.Timestamp
    delivery_config: str
    def __init__(self, id: _Optional[str] = ..., project: _Optional[str] = ..., domain: _Optional[str] = ..., run: _Optional[str] = ..., action: _Optional[str] = ..., phase: _Optional[str] = ..., channel: _Optional[str] = ..., receiver: _Optional[str] = ..., state: _Optional[str] = ..., tries: _Optional[int] = ..., status: _Optional[int] = ..., error: _Optional[str] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., due_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., ended_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., delivery_config: _Optional[str] = ...) -> None: ...

class ListDeliveriesRequest(_message.Message):
    __slots__ = ("page_size", "page_token", "state")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    state: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., state: _Optional[str] = ...) -> None: ...

class ListDeliveriesResponse(_message.Message):
    __slots__ = ("deliveries", "next_page_token")
    DELIVERIES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    deliveries: _containers.RepeatedCompositeFieldContainer[Delivery]
    next_page_token: str
    def __init__(self, deliveries: _Optional[_Iterable[_Union[Delivery, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ResendDeliveriesRequest(_message.Message):
    __slots__ = ("ids",)
    IDS_FIELD_NUMBER: _ClassVar[int]
    ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, ids: _Optional[_Iterable[str]] = ...) -> None: ...

class ResendDeliveriesResponse(_message.Message):
    __slots__ = ("resent",)
    RESENT_FIELD_NUMBER: _ClassVar[int]
    resent: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, resent: _Optional[_Iterable[str]] = ...) -> None: ...

class DeliveryConfig(_message.Message):
    __slots__ = ("name", "webhook", "email", "version", "signed")
    NAME_FIELD_NUMBER: _ClassVar[int]
    WEBHOOK_FIELD_NUMBER: _ClassVar[int]
    EMAIL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SIGNED_FIELD_NUMBER: _ClassVar[int]
    name: str
    webhook: WebhookTemplate
    email: EmailTemplate
    version: int
    signed: bool
    def __init__(self, name: _Optional[str] = ..., webhook: _Optional[_Union[WebhookTemplate, _Mapping]] = ..., email: _Optional[_Union[EmailTemplate, _Mapping]] = ..., version: _Optional[int] = ..., signed: _Optional[bool] = ...) -> None: ...

class WebhookTemplate(_message.Message):
    __slots__ = ("url", "method", "headers", "body")
    class HeadersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    URL_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    HEADERS_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    url: str
    method: str
    headers: _containers.ScalarMap[str, str]
    body: str
    def __init__(self, url: _Optional[str] = ..., method: _Optional[str] = ..., headers: _Optional[_Mapping[str, str]] = ..., body: _Optional[str] = ...) -> None: ...

class EmailTemplate(_message.Message):
    __slots__ = ("to", "cc", "bcc", "subject", "text", "html")
    TO_FIELD_NUMBER: _ClassVar[int]
    CC_FIELD_NUMBER: _ClassVar[int]
    BCC_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    HTML_FIELD_NUMBER: _ClassVar[int]
    to: _containers.RepeatedScalarFieldContainer[str]
    cc: _containers.RepeatedScalarFieldContainer[str]
    bcc: _containers.RepeatedScalarFieldContainer[str]
    subject: str
    text: str
    html: str
    def __init__(self, to: _Optional[_Iterable[str]] = ..., cc: _Optional[_Iterable[str]] = ..., bcc: _Optional[_Iterable[str]] = ..., subject: _Optional[str] = ..., text: _Optional[str] = ..., html: _Optional[str] = ...) -> None: ...

class NotificationRule(_message.Message):
    __slots__ = ("name", "phases", "delivery_configs", "version")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PHASES_FIELD_NUMBER: _ClassVar[int]
    DELIVERY_CONFIGS_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    name: str
    phases: _containers.RepeatedScalarFieldContainer[str]
    delivery_configs: _containers.RepeatedScalarFieldContainer[str]
    version: int
    def __init__(self, name: _Optional[str] = ..., phases: _Optional[_Iterable[str]] = ..., delivery_configs: _Optional[_Iterable[str]] = ..., version: _Optional[int] = ...) -> None: ...

class CreateDeliveryConfigRequest(_message.Message):
    __slots__ = ("delivery_config",)
    DELIVERY_CONFIG_FIELD_NUMBER: _ClassVar[int]
    delivery_config: DeliveryConfig
    def __init__(self, delivery_config: _Optional[_Union[DeliveryConfig, _Mapping]] = ...) -> None: ...

class CreateDeliveryConfigResponse(_message.Message):
    __slots__ = ("delivery_config",)
    DELIVERY_CONFIG_FIELD_NUMBER: _ClassVar[int]
    delivery_config: DeliveryConfig
    def __init__(self, delivery_config: _Optional[_Union[DeliveryConfig, _Mapping]] = ...) -> None: ...

class GetDeliveryConfigRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class GetDeliveryConfigResponse(_message.Message):
    __slots__ = ("delivery_config",)
    DELIVERY_CONFIG_FIELD_NUMBER: _ClassVar[int]
    delivery_config: DeliveryConfig
    def __init__(self, delivery_config: _Optional[_Union[DeliveryConfig, _Mapping]] = ...) -> None: ...

class ListDeliveryConfigsRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListDeliveryConfigsResponse(_message.Message):
    __slots__ = ("delivery_configs", "next_page_token")
    DELIVERY_CONFIGS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    delivery_configs: _containers.RepeatedCompositeFieldContainer[DeliveryConfig]
    next_page_token: str
    def __init__(self, delivery_configs: _Optional[_Iterable[_Union[DeliveryConfig, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class UpdateDeliveryConfigRequest(_message.Message):
    __slots__ = ("delivery_config", "update_mask")
    DELIVERY_CONFIG_FIELD_NUMBER: _ClassVar[int]
    UPDATE_MASK_FIELD_NUMBER: _ClassVar[int]
    delivery_config: DeliveryConfig
    update_mask: _field_mask_pb2.FieldMask
    def __init__(self, delivery_config: _Optional[_Union[DeliveryConfig, _Mapping]] = ..., update_mask: _Optional[_Union[_field_mask_pb2.FieldMask, _Mapping]] = ...) -> None: ...

class UpdateDeliveryConfigResponse(_message.Message):
    __slots__ = ("delivery_config",)
    DELIVERY_CONFIG_FIELD_NUMBER: _ClassVar[int]
    delivery_config: DeliveryConfig
    def __init__(self, delivery_config: _Optional[_Union[DeliveryConfig, _Mapping]] = ...) -> None: ...

class DeleteDeliveryConfigRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class DeleteDeliveryConfigResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class CreateNotificationRuleRequest(_message.Message):
    __slots__ = ("notification_rule",)
    NOTIFICATION_RULE_FIELD_NUMBER: _ClassVar[int]
    notification_rule: NotificationRule
    def __init__(self, notification_rule: _Optional[_Union[NotificationRule, _Mapping]] = ...) -> None: ...

class CreateNotificationRuleResponse(_message.Message):
    __slots__ = ("notification_rule",)
    NOTIFICATION_RULE_FIELD_NUMBER: _ClassVar[int]
    notification_rule: NotificationRule
    def __init__(self, notification_rule: _Optional[_Union[NotificationRule, _Mapping]] = ...) -> None: ...

class GetNotificationRuleRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class GetNotificationRuleResponse(_message.Message):
    __slots__ = ("notification_rule",)
    NOTIFICATION_RULE_FIELD_NUMBER: _ClassVar[int]
    notification_rule: NotificationRule
    def __init__(self, notification_rule: _Optional[_Union[NotificationRule, _Mapping]] = ...) -> None: ...

class ListNotificationRulesRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListNotificationRulesResponse(_message.Message):
    __slots__ = ("notification_rules", "next_page_token")
    NOTIFICATION_RULES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    notification_rules: _containers.RepeatedCompositeFieldContainer[NotificationRule]
    next_page_token: str
    def __init__(self, notification_rules: _Optional[_Iterable[_Union[NotificationRule, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class UpdateNotificationRuleRequest(_message.Message):
    __slots__ = ("notification_rule", "update_mask")
    NOTIFICATION_RULE_FIELD_NUMBER: _ClassVar[int]
    UPDATE_MASK_FIELD_NUMBER: _ClassVar[int]
    notification_rule: NotificationRule
    update_mask: _field_mask_pb2.FieldMask
    def __init__(self, notification_rule: _Optional[_Union[NotificationRule, _Mapping]] = ..., update_mask: _Optional[_Union[_field_mask_pb2.FieldMask, _Mapping]] = ...) -> None: ...

class UpdateNotificationRuleResponse(_message.Message):
    __slots__ = ("notification_rule",)
    NOTIFICATION_RULE_FIELD_NUMBER: _ClassVar[int]
    notification_rule: NotificationRule
    def __init__(self, notification_rule: _Optional[_Union[NotificationRule, _Mapping]] = ...) -> None: ...

class DeleteNotificationRuleRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class DeleteNotificationRuleResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class RotateSigningSecretRequest(_message.Message):
    __slots__ = ("name", "overlap", "version")
    NAME_FIELD_NUMBER: _ClassVar[int]
    OVERLAP_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    name: str
    overlap: _duration_pb2.Duration
    version: int
    def __init__(self, name: _Optional[str] = ..., overlap: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., version: _Optional[int] = ...) -> None: ...

class RotateSigningSecretResponse(_message.Message):
    __slots__ = ("signing_secret", "previous_until", "delivery_config")
    SIGNING_SECRET_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_UNTIL_FIELD_NUMBER: _ClassVar[int]
    DELIVERY_CONFIG_FIELD_NUMBER: _ClassVar[int]
    signing_secret: str
    previous_until: _timestamp_pb2.Timestamp
    delivery_config: DeliveryConfig
    def __init__(self, signing_secret: _Optional[str] = ..., previous_until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., delivery_config: _Optional[_Union[DeliveryConfig, _Mapping]] = ...) -> None: ...
