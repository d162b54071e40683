"""LogService: log lines by their numbers, and searches over a whole log."""

from controlplane.api.platform.conventions import render_time
from controlplane.core import names
from controlplane.core.callers import Caller
from controlplane.core.errors import InvalidError, UnavailableError
from controlplane.core.log_levels import LogLevel, find_level
from controlplane.core.log_search import LogQuery, NumberedLine
from controlplane.usecases.log_lines import LogLines
from shared.idl.platform.v1 import log_pb2 as pb
from shared.kit.timestamps import to_us
from shared.model.ids import ActionKey, RunKey
from shared.model.logs import Originator

DEFAULT_LIMIT = 200


class LogService:
    def __init__(self, lines: LogLines | None) -> None:
        """``lines``: None for a program that has no access to logs."""
        self._lines = lines

    async def read_lines(
        self, caller: Caller, request: pb.ReadLinesRequest
    ) -> pb.ReadLinesResponse:
        page = await self._require_lines().read(
            caller,
            _parse_action(request),
            _parse_attempt(request.attempt),
            first=request.first_line,
            limit=request.limit or DEFAULT_LIMIT,
        )
        return pb.ReadLinesResponse(
            attempt=page.attempt,
            lines=[_render(each) for each in page.lines],
            line_count=page.line_count,
            complete=page.is_complete,
        )

    async def search_lines(
        self, caller: Caller, request: pb.SearchLinesRequest
    ) -> pb.SearchLinesResponse:
        query = LogQuery(
            text=request.pattern,
            is_regex=request.regex,
            is_case_sensitive=request.case_sensitive,
            levels=frozenset(_parse_level(each) for each in request.levels),
            context=request.context,
            limit=request.limit or DEFAULT_LIMIT,
        )
        found = await self._require_lines().search(
            caller,
            _parse_action(request),
            _parse_attempt(request.attempt),
            query,
            first=request.first_line,
        )
        return pb.SearchLinesResponse(
            attempt=found.page.attempt,
            lines=[_render(each) for each in found.page.lines],
            match_count=found.match_count,
            count_exact=found.is_count_exact,
            next_line=found.next_line,
            line_count=found.page.line_count,
            complete=found.page.is_complete,
        )

    def _require_lines(self) -> LogLines:
        if self._lines is None:
            raise UnavailableError("logs are read from a control plane that serves; ask one")
        return self._lines


def _parse_action(request: pb.ReadLinesRequest | pb.SearchLinesRequest) -> ActionKey:
    run = RunKey(
        names.parse_project(request.project),
        names.parse_domain(request.domain),
        names.parse_run(request.run),
    )
    return ActionKey(run, names.parse_action(request.action))


def _parse_attempt(number: int) -> int:
    if number < 0:
        raise InvalidError("attempt: attempts are numbered from 1; 0 is the last one with a log")
    return number


def _parse_level(text: str) -> LogLevel:
    try:
        return LogLevel(text)
    except ValueError as error:
        raise InvalidError(
            f"levels: {text[:40]!r} is no level; name {', '.join(LogLevel)}"
        ) from error


def _render(numbered: NumberedLine) -> pb.LogLine:
    line = numbered.line
    return pb.LogLine(
        number=numbered.number,
        logged_at=render_time(line.at) if to_us(line.at) else None,
        text=line.text,
        system=line.originator is Originator.SYSTEM,
        level=find_level(line.text) or "",
        matches=numbered.is_match,
    )
