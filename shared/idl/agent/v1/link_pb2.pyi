from shared.idl.agent.v1 import assignment_pb2 as _assignment_pb2
from shared.idl.agent.v1 import call_pb2 as _call_pb2
from shared.idl.agent.v1 import report_pb2 as _report_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class AgentFrame(_message.Message):
    __slots__ = ("hello", "inventory", "credit", "accepted", "reports", "heartbeat", "reply", "findings")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    INVENTORY_FIELD_NUMBER: _ClassVar[int]
    CREDIT_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    REPORTS_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    REPLY_FIELD_NUMBER: _ClassVar[int]
    FINDINGS_FIELD_NUMBER: _ClassVar[int]
    hello: Hello
    inventory: Inventory
    credit: Credit
    accepted: _assignment_pb2.Accepted
    reports: _report_pb2.ReportBatch
    heartbeat: Heartbeat
    reply: _call_pb2.Reply
    findings: Findings
    def __init__(self, hello: _Optional[_Union[Hello, _Mapping]] = ..., inventory: _Optional[_Union[Inventory, _Mapping]] = ..., credit: _Optional[_Union[Credit, _Mapping]] = ..., accepted: _Optional[_Union[_assignment_pb2.Accepted, _Mapping]] = ..., reports: _Optional[_Union[_report_pb2.ReportBatch, _Mapping]] = ..., heartbeat: _Optional[_Union[Heartbeat, _Mapping]] = ..., reply: _Optional[_Union[_call_pb2.Reply, _Mapping]] = ..., findings: _Optional[_Union[Findings, _Mapping]] = ...) -> None: ...

class ControlFrame(_message.Message):
    __slots__ = ("welcome", "refusal", "verdicts", "assignments", "acknowledgements", "stops", "wanted", "heartbeat", "call", "call_credit", "call_cancel", "confirmed")
    WELCOME_FIELD_NUMBER: _ClassVar[int]
    REFUSAL_FIELD_NUMBER: _ClassVar[int]
    VERDICTS_FIELD_NUMBER: _ClassVar[int]
    ASSIGNMENTS_FIELD_NUMBER: _ClassVar[int]
    ACKNOWLEDGEMENTS_FIELD_NUMBER: _ClassVar[int]
    STOPS_FIELD_NUMBER: _ClassVar[int]
    WANTED_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    CALL_FIELD_NUMBER: _ClassVar[int]
    CALL_CREDIT_FIELD_NUMBER: _ClassVar[int]
    CALL_CANCEL_FIELD_NUMBER: _ClassVar[int]
    CONFIRMED_FIELD_NUMBER: _ClassVar[int]
    welcome: Welcome
    refusal: Refusal
    verdicts: Verdicts
    assignments: _assignment_pb2.AssignmentBatch
    acknowledgements: _report_pb2.AcknowledgementBatch
    stops: StopBatch
    wanted: Wanted
    heartbeat: Heartbeat
    call: _call_pb2.Call
    call_credit: _call_pb2.CallCredit
    call_cancel: _call_pb2.CallCancel
    confirmed: _assignment_pb2.Confirmed
    def __init__(self, welcome: _Optional[_Union[Welcome, _Mapping]] = ..., refusal: _Optional[_Union[Refusal, _Mapping]] = ..., verdicts: _Optional[_Union[Verdicts, _Mapping]] = ..., assignments: _Optional[_Union[_assignment_pb2.AssignmentBatch, _Mapping]] = ..., acknowledgements: _Optional[_Union[_report_pb2.AcknowledgementBatch, _Mapping]] = ..., stops: _Optional[_Union[StopBatch, _Mapping]] = ..., wanted: _Optional[_Union[Wanted, _Mapping]] = ..., heartbeat: _Optional[_Union[Heartbeat, _Mapping]] = ..., call: _Optional[_Union[_call_pb2.Call, _Mapping]] = ..., call_credit: _Optional[_Union[_call_pb2.CallCredit, _Mapping]] = ..., call_cancel: _Optional[_Union[_call_pb2.CallCancel, _Mapping]] = ..., confirmed: _Optional[_Union[_assignment_pb2.Confirmed, _Mapping]] = ...) -> None: ...

class Hello(_message.Message):
    __slots__ = ("agent_id", "instance_id", "protocol_min", "protocol_max", "software", "capabilities", "last_epoch", "secrets_key", "org", "cluster")
    AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_ID_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_MIN_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_MAX_FIELD_NUMBER: _ClassVar[int]
    SOFTWARE_FIELD_NUMBER: _ClassVar[int]
    CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    LAST_EPOCH_FIELD_NUMBER: _ClassVar[int]
    SECRETS_KEY_FIELD_NUMBER: _ClassVar[int]
    ORG_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    agent_id: str
    instance_id: str
    protocol_min: int
    protocol_max: int
    software: str
    capabilities: _containers.RepeatedScalarFieldContainer[str]
    last_epoch: int
    secrets_key: bytes
    org: str
    cluster: str
    def __init__(self, agent_id: _Optional[str] = ..., instance_id: _Optional[str] = ..., protocol_min: _Optional[int] = ..., protocol_max: _Optional[int] = ..., software: _Optional[str] = ..., capabilities: _Optional[_Iterable[str]] = ..., last_epoch: _Optional[int] = ..., secrets_key: _Optional[bytes] = ..., org: _Optional[str] = ..., cluster: _Optional[str] = ...) -> None: ...

class Welcome(_message.Message):
    __slots__ = ("epoch", "protocol", "heartbeat_ms", "self_fence_ms", "reassign_after_ms", "server_time_us", "cluster")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_MS_FIELD_NUMBER: _ClassVar[int]
    SELF_FENCE_MS_FIELD_NUMBER: _ClassVar[int]
    REASSIGN_AFTER_MS_FIELD_NUMBER: _ClassVar[int]
    SERVER_TIME_US_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    protocol: int
    heartbeat_ms: int
    self_fence_ms: int
    reassign_after_ms: int
    server_time_us: int
    cluster: str
    def __init__(self, epoch: _Optional[int] = ..., protocol: _Optional[int] = ..., heartbeat_ms: _Optional[int] = ..., self_fence_ms: _Optional[int] = ..., reassign_after_ms: _Optional[int] = ..., server_time_us: _Optional[int] = ..., cluster: _Optional[str] = ...) -> None: ...

class Refusal(_message.Message):
    __slots__ = ("code", "message", "retry", "end_attempts", "retry_after_ms")
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    RETRY_FIELD_NUMBER: _ClassVar[int]
    END_ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    RETRY_AFTER_MS_FIELD_NUMBER: _ClassVar[int]
    code: str
    message: str
    retry: bool
    end_attempts: bool
    retry_after_ms: int
    def __init__(self, code: _Optional[str] = ..., message: _Optional[str] = ..., retry: _Optional[bool] = ..., end_attempts: _Optional[bool] = ..., retry_after_ms: _Optional[int] = ...) -> None: ...

class Inventory(_message.Message):
    __slots__ = ("leases", "last")
    LEASES_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    leases: _containers.RepeatedCompositeFieldContainer[_assignment_pb2.Lease]
    last: bool
    def __init__(self, leases: _Optional[_Iterable[_Union[_assignment_pb2.Lease, _Mapping]]] = ..., last: _Optional[bool] = ...) -> None: ...

class Verdicts(_message.Message):
    __slots__ = ("verdicts", "last")
    VERDICTS_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    verdicts: _containers.RepeatedCompositeFieldContainer[VerdictOnLease]
    last: bool
    def __init__(self, verdicts: _Optional[_Iterable[_Union[VerdictOnLease, _Mapping]]] = ..., last: _Optional[bool] = ...) -> None: ...

class VerdictOnLease(_message.Message):
    __slots__ = ("lease", "kind")
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        KIND_UNSPECIFIED: _ClassVar[VerdictOnLease.Kind]
        KIND_KEEP: _ClassVar[VerdictOnLease.Kind]
        KIND_STOP: _ClassVar[VerdictOnLease.Kind]
        KIND_FORGET: _ClassVar[VerdictOnLease.Kind]
    KIND_UNSPECIFIED: VerdictOnLease.Kind
    KIND_KEEP: VerdictOnLease.Kind
    KIND_STOP: VerdictOnLease.Kind
    KIND_FORGET: VerdictOnLease.Kind
    LEASE_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    lease: _assignment_pb2.Lease
    kind: VerdictOnLease.Kind
    def __init__(self, lease: _Optional[_Union[_assignment_pb2.Lease, _Mapping]] = ..., kind: _Optional[_Union[VerdictOnLease.Kind, str]] = ...) -> None: ...

class Credit(_message.Message):
    __slots__ = ("total",)
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    total: int
    def __init__(self, total: _Optional[int] = ...) -> None: ...

class Heartbeat(_message.Message):
    __slots__ = ("number", "sent_at_us", "noted", "held", "running")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    SENT_AT_US_FIELD_NUMBER: _ClassVar[int]
    NOTED_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    RUNNING_FIELD_NUMBER: _ClassVar[int]
    number: int
    sent_at_us: int
    noted: int
    held: int
    running: int
    def __init__(self, number: _Optional[int] = ..., sent_at_us: _Optional[int] = ..., noted: _Optional[int] = ..., held: _Optional[int] = ..., running: _Optional[int] = ...) -> None: ...

class Findings(_message.Message):
    __slots__ = ("findings", "checked_at_us")
    FINDINGS_FIELD_NUMBER: _ClassVar[int]
    CHECKED_AT_US_FIELD_NUMBER: _ClassVar[int]
    findings: _containers.RepeatedCompositeFieldContainer[Finding]
    checked_at_us: int
    def __init__(self, findings: _Optional[_Iterable[_Union[Finding, _Mapping]]] = ..., checked_at_us: _Optional[int] = ...) -> None: ...

class Finding(_message.Message):
    __slots__ = ("about", "outcome", "text", "remedy")
    class Outcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        OUTCOME_UNSPECIFIED: _ClassVar[Finding.Outcome]
        OUTCOME_OK: _ClassVar[Finding.Outcome]
        OUTCOME_WARNING: _ClassVar[Finding.Outcome]
        OUTCOME_FAULT: _ClassVar[Finding.Outcome]
    OUTCOME_UNSPECIFIED: Finding.Outcome
    OUTCOME_OK: Finding.Outcome
    OUTCOME_WARNING: Finding.Outcome
    OUTCOME_FAULT: Finding.Outcome
    ABOUT_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    REMEDY_FIELD_NUMBER: _ClassVar[int]
    about: str
    outcome: Finding.Outcome
    text: str
    remedy: str
    def __init__(self, about: _Optional[str] = ..., outcome: _Optional[_Union[Finding.Outcome, str]] = ..., text: _Optional[str] = ..., remedy: _Optional[str] = ...) -> None: ...

class StopBatch(_message.Message):
    __slots__ = ("stops",)
    STOPS_FIELD_NUMBER: _ClassVar[int]
    stops: _containers.RepeatedCompositeFieldContainer[Stop]
    def __init__(self, stops: _Optional[_Iterable[_Union[Stop, _Mapping]]] = ...) -> None: ...

class Stop(_message.Message):
    __slots__ = ("lease", "reason", "forget")
    LEASE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    FORGET_FIELD_NUMBER: _ClassVar[int]
    lease: _assignment_pb2.Lease
    reason: str
    forget: bool
    def __init__(self, lease: _Optional[_Union[_assignment_pb2.Lease, _Mapping]] = ..., reason: _Optional[str] = ..., forget: _Optional[bool] = ...) -> None: ...

class Wanted(_message.Message):
    __slots__ = ("version", "cordoned", "draining", "reconnect_after_ms", "renew_serial", "end_attempts")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    CORDONED_FIELD_NUMBER: _ClassVar[int]
    DRAINING_FIELD_NUMBER: _ClassVar[int]
    RECONNECT_AFTER_MS_FIELD_NUMBER: _ClassVar[int]
    RENEW_SERIAL_FIELD_NUMBER: _ClassVar[int]
    END_ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    version: int
    cordoned: bool
    draining: bool
    reconnect_after_ms: int
    renew_serial: str
    end_attempts: str
    def __init__(self, version: _Optional[int] = ..., cordoned: _Optional[bool] = ..., draining: _Optional[bool] = ..., reconnect_after_ms: _Optional[int] = ..., renew_serial: _Optional[str] = ..., end_attempts: _Optional[str] = ...) -> None: ...
