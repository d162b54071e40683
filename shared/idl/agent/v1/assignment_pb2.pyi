from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class AttemptId(_message.Message):
    __slots__ = ("action_id", "number")
    ACTION_ID_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    action_id: bytes
    number: int
    def __init__(self, action_id: _Optional[bytes] = ..., number: _Optional[int] = ...) -> None: ...

class Spec(_message.Message):
    __slots__ = ("digest", "body")
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    digest: bytes
    body: bytes
    def __init__(self, digest: _Optional[bytes] = ..., body: _Optional[bytes] = ...) -> None: ...

class Assignment(_message.Message):
    __slots__ = ("attempt", "lease_id", "org", "project", "domain", "run", "action", "parent", "task_type", "task_spec", "run_spec", "input_uri", "run_base", "output_prefix", "previous_output_prefix", "raw_data_prefix", "run_started_at_us", "replaceable", "kind", "traceparent")
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        KIND_UNSPECIFIED: _ClassVar[Assignment.Kind]
        KIND_ACTION: _ClassVar[Assignment.Kind]
    KIND_UNSPECIFIED: Assignment.Kind
    KIND_ACTION: Assignment.Kind
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    LEASE_ID_FIELD_NUMBER: _ClassVar[int]
    ORG_FIELD_NUMBER: _ClassVar[int]
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    PARENT_FIELD_NUMBER: _ClassVar[int]
    TASK_TYPE_FIELD_NUMBER: _ClassVar[int]
    TASK_SPEC_FIELD_NUMBER: _ClassVar[int]
    RUN_SPEC_FIELD_NUMBER: _ClassVar[int]
    INPUT_URI_FIELD_NUMBER: _ClassVar[int]
    RUN_BASE_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_PREFIX_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_OUTPUT_PREFIX_FIELD_NUMBER: _ClassVar[int]
    RAW_DATA_PREFIX_FIELD_NUMBER: _ClassVar[int]
    RUN_STARTED_AT_US_FIELD_NUMBER: _ClassVar[int]
    REPLACEABLE_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    TRACEPARENT_FIELD_NUMBER: _ClassVar[int]
    attempt: AttemptId
    lease_id: bytes
    org: str
    project: str
    domain: str
    run: str
    action: str
    parent: str
    task_type: str
    task_spec: bytes
    run_spec: bytes
    input_uri: str
    run_base: str
    output_prefix: str
    previous_output_prefix: str
    raw_data_prefix: str
    run_started_at_us: int
    replaceable: bool
    kind: Assignment.Kind
    traceparent: str
    def __init__(self, attempt: _Optional[_Union[AttemptId, _Mapping]] = ..., lease_id: _Optional[bytes] = ..., org: _Optional[str] = ..., project: _Optional[str] = ..., domain: _Optional[str] = ..., run: _Optional[str] = ..., action: _Optional[str] = ..., parent: _Optional[str] = ..., task_type: _Optional[str] = ..., task_spec: _Optional[bytes] = ..., run_spec: _Optional[bytes] = ..., input_uri: _Optional[str] = ..., run_base: _Optional[str] = ..., output_prefix: _Optional[str] = ..., previous_output_prefix: _Optional[str] = ..., raw_data_prefix: _Optional[str] = ..., run_started_at_us: _Optional[int] = ..., replaceable: _Optional[bool] = ..., kind: _Optional[_Union[Assignment.Kind, str]] = ..., traceparent: _Optional[str] = ...) -> None: ...

class AssignmentBatch(_message.Message):
    __slots__ = ("specs", "assignments")
    SPECS_FIELD_NUMBER: _ClassVar[int]
    ASSIGNMENTS_FIELD_NUMBER: _ClassVar[int]
    specs: _containers.RepeatedCompositeFieldContainer[Spec]
    assignments: _containers.RepeatedCompositeFieldContainer[Assignment]
    def __init__(self, specs: _Optional[_Iterable[_Union[Spec, _Mapping]]] = ..., assignments: _Optional[_Iterable[_Union[Assignment, _Mapping]]] = ...) -> None: ...

class Accepted(_message.Message):
    __slots__ = ("leases",)
    LEASES_FIELD_NUMBER: _ClassVar[int]
    leases: _containers.RepeatedCompositeFieldContainer[Lease]
    def __init__(self, leases: _Optional[_Iterable[_Union[Lease, _Mapping]]] = ...) -> None: ...

class Confirmed(_message.Message):
    __slots__ = ("leases",)
    LEASES_FIELD_NUMBER: _ClassVar[int]
    leases: _containers.RepeatedCompositeFieldContainer[Lease]
    def __init__(self, leases: _Optional[_Iterable[_Union[Lease, _Mapping]]] = ...) -> None: ...

class Lease(_message.Message):
    __slots__ = ("attempt", "lease_id")
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    LEASE_ID_FIELD_NUMBER: _ClassVar[int]
    attempt: AttemptId
    lease_id: bytes
    def __init__(self, attempt: _Optional[_Union[AttemptId, _Mapping]] = ..., lease_id: _Optional[bytes] = ...) -> None: ...
