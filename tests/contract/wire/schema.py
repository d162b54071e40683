"""The wire schema of each release; ``scripts.descriptor_rules`` says what must not change."""

from importlib import import_module
from pathlib import Path

from google.protobuf import text_format
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from shared import idl
from tests.contract.wire.recordings import RECORDED

_NAME = "schema.textproto"
_MODULES = sorted(Path(*idl.__path__).glob("agent/v1/*_pb2.py"))


def todays() -> FileDescriptorSet:
    schema = FileDescriptorSet()
    for module in _MODULES:
        described: FileDescriptor = import_module(f"shared.idl.agent.v1.{module.stem}").DESCRIPTOR
        described.CopyToProto(schema.file.add())
    return schema


def load(release: str) -> FileDescriptorSet:
    return text_format.Parse((RECORDED / release / _NAME).read_text(), FileDescriptorSet())


def save(release: str, schema: FileDescriptorSet) -> None:
    path = RECORDED / release / _NAME
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text_format.MessageToString(schema))
