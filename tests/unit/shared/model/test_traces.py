"""Tests of trace contexts: W3C's header, and ids that follow from names."""

import pytest

from shared.model.ids import (
    ActionKey,
    ActionName,
    DomainName,
    OrgName,
    ProjectName,
    RunKey,
    RunName,
)
from shared.model.traces import (
    TraceContext,
    context_of_action,
    context_of_attempt,
    context_of_part,
    describe_action,
    is_sampled,
    parse_traceparent,
    render_traceparent,
    trace_id_of,
)

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
ORG = OrgName("acme")


def run(name: str = "r1") -> RunKey:
    return RunKey(ProjectName("p"), DomainName("d"), RunName(name))


@pytest.mark.parametrize(("flags", "rendered"), [("01", "01"), ("00", "00"), ("03", "01")])
def test_traceparent_is_parsed_and_rendered(flags: str, rendered: str) -> None:
    context = parse_traceparent(f"00-{TRACE}-{SPAN}-{flags}")
    assert context == TraceContext(TRACE, SPAN, sampled=rendered == "01")
    assert render_traceparent(context) == f"00-{TRACE}-{SPAN}-{rendered}"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no traceparent",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE}-{SPAN}-01\n",
    ],
)
def test_invalid_traceparent_is_ignored(text: str) -> None:
    assert parse_traceparent(text) is None


def test_traceparent_of_a_later_version_may_have_more_fields() -> None:
    assert parse_traceparent(f"01-{TRACE}-{SPAN}-01-more") == TraceContext(
        TRACE, SPAN, sampled=True
    )


def test_actions_of_a_run_share_its_trace_and_have_spans_of_their_own() -> None:
    a0, a1 = (
        context_of_action(ORG, ActionKey(run(), ActionName(name)), ratio=1) for name in ("a0", "a1")
    )
    other = context_of_action(ORG, ActionKey(run("r2"), ActionName("a0")), ratio=1)
    assert a0.trace_id == a1.trace_id == trace_id_of(ORG, run())
    assert a0.span_id != a1.span_id
    assert other.trace_id != a0.trace_id
    assert trace_id_of(OrgName("other"), run()) != a0.trace_id
    first, second = context_of_attempt(a0, 1), context_of_attempt(a0, 2)
    assert first.trace_id == second.trace_id == a0.trace_id
    assert len({a0.span_id, first.span_id, second.span_id}) == 3
    assert parse_traceparent(render_traceparent(first)) == first


def test_ratio_of_runs_is_sampled() -> None:
    traces = [trace_id_of(ORG, run(f"r{number}")) for number in range(2_000)]
    assert not any(is_sampled(trace, 0) for trace in traces)
    assert all(is_sampled(trace, 1) for trace in traces)
    assert 60 < sum(is_sampled(trace, 0.05) for trace in traces) < 140
    assert all(is_sampled(trace, 0.5) for trace in traces if is_sampled(trace, 0.1))


def test_parts_of_an_attempt_have_spans_of_their_own() -> None:
    attempt = TraceContext(TRACE, SPAN, sampled=True)
    wait, start = context_of_part(attempt, "wait"), context_of_part(attempt, "start")
    assert len({wait.span_id, start.span_id, SPAN}) == 3
    assert (wait.trace_id, wait.sampled) == (TRACE, True)


def test_described_action_has_the_trace_id_of_its_run() -> None:
    assert describe_action(ORG, ActionKey(run(), ActionName("a1"))) == {
        "org": "acme",
        "action": "p/d/r1/a1",
        "trace_id": trace_id_of(ORG, run()),
    }
