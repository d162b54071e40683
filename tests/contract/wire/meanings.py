"""Decodes frames with today's code into plain values that can be stored in a file."""

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import datetime, timedelta
from enum import Enum
from uuid import UUID

from google.protobuf.message import Message

from controlplane.core.agent_session_effects import CallReply
from controlplane.link.frames import parse_frame as parse_agent_frame
from controlplane.link.live_calls import is_last
from dataplane.agent.link.frames import parse_frame
from shared.idl.agent.v1 import call_pb2, link_pb2
from shared.model.link_session import AgentFrame, agent_frame
from shared.wire.logs import parse_log_chunk
from tests.contract.wire.recordings import Frame, twin


def meaning(frame: Frame) -> object:
    """Decode a frame as its receiver does."""
    if isinstance(frame, link_pb2.AgentFrame):
        return plain(_as_control_plane(frame))
    return plain(parse_frame(frame))


def _as_control_plane(frame: link_pb2.AgentFrame) -> Mapping[str, object]:
    message = parse_agent_frame(frame)
    match message:
        case None:
            return {"said": None, "content": None}
        case CallReply():
            return {"said": AgentFrame.REPLY, "content": _answer(frame.reply)}
        case _:
            return {"said": agent_frame(message), "content": message}


def _answer(reply: call_pb2.Reply) -> Mapping[str, object]:
    chunk = parse_log_chunk(reply.log_chunk) if reply.HasField("log_chunk") else None
    return {
        "id": reply.id,
        "last": is_last(reply),
        "lines": chunk and chunk.lines,
        "partial": chunk and chunk.partial,
        "error": reply.error,
    }


def plain(value: object) -> object:
    match value:
        case Enum():
            return value.name
        case Message():
            return twin(value)
        case bytes() | bytearray():
            return value.hex()
        case UUID() | datetime():
            return str(value)
        case timedelta():
            return value.total_seconds()
        case Mapping():
            return {str(plain(key)): plain(each) for key, each in value.items()}
        case str() | int() | float() | None:
            return value
        case Sequence():
            return [plain(each) for each in value]
        case _ if is_dataclass(value):
            return {each.name: plain(getattr(value, each.name)) for each in fields(value)}
        case _:
            raise AssertionError(f"{type(value)} has no plain form")


def is_kept(recorded: object, today: object) -> bool:
    """Return whether today's meaning contains all of the recorded one; it may have more."""
    if isinstance(recorded, dict) and isinstance(today, dict):
        return all(key in today and is_kept(recorded[key], today[key]) for key in recorded)
    if isinstance(recorded, list) and isinstance(today, list):
        return len(recorded) == len(today) and all(map(is_kept, recorded, today))
    return recorded == today
