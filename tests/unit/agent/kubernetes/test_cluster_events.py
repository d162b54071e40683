"""Events as they are told: once each, in order, and not too many."""

from datetime import timedelta

from dataplane.agent.runtimes.kubernetes import events
from shared.model.reports import EventType
from tests.unit.agent.assignments import NOW
from tests.unit.agent.kubernetes.objects import ago, make_event, make_pod


def test_events_are_reported_in_order_of_first_occurrence() -> None:
    last_reported = events.last_reported(
        [
            make_event("Started", "started", seconds_ago=1),
            make_event("Scheduled", "assigned", seconds_ago=9),
        ]
    )
    assert [(event.reason, event.at) for event in last_reported] == [
        ("Scheduled", NOW - timedelta(seconds=9)),
        ("Started", NOW - timedelta(seconds=1)),
    ]


def test_events_of_three_containers_are_reported_once() -> None:
    same = [make_event("Pulled", "present", seconds_ago=second) for second in (3, 7, 5)]

    assert [event.at for event in events.last_reported(same)] == [NOW - timedelta(seconds=7)]


def test_event_has_its_type_its_component_and_how_often_it_occurred() -> None:
    of_kubelet = {
        **make_event("BackOff", "restarting", seconds_ago=9),
        "type": "Warning",
        "count": 4,
        "source": {"component": "kubelet"},
    }
    newer = {
        **make_event("FailedScheduling", "no node", seconds_ago=5),
        "type": "Warning",
        "series": {"count": 7},
        "reportingComponent": "default-scheduler",
    }
    plain = {**make_event("Odd", "odd", seconds_ago=1), "type": "Strange", "count": -1}

    assert [
        (event.reason, event.type, event.count, event.source)
        for event in events.last_reported([of_kubelet, newer, plain])
    ] == [
        ("BackOff", EventType.WARNING, 4, "kubelet"),
        ("FailedScheduling", EventType.WARNING, 7, "default-scheduler"),
        ("Odd", EventType.UNKNOWN, 1, ""),
    ]


def test_events_with_the_same_words_are_counted_together() -> None:
    same = [
        {**make_event("Pulled", "present", seconds_ago=second), "count": 2, "type": kind}
        for second, kind in ((3, "Warning"), (7, "Normal"))
    ]

    [event] = events.last_reported(same)

    assert (event.at, event.count) == (NOW - timedelta(seconds=7), 4)
    assert event.type is EventType.WARNING


def test_surplus_events_keep_the_first_and_the_last() -> None:
    many = [make_event("Event", f"{number}", seconds_ago=1000 - number) for number in range(200)]
    last_reported = events.last_reported(many)

    assert len(last_reported) == events.MOST_EVENTS
    assert (last_reported[0].message, last_reported[-1].message) == ("0", "199")


def test_long_event_message_is_cut_between_characters() -> None:
    (last_reported,) = events.last_reported([make_event("Event", "ä" * 5000)])

    assert len(last_reported.message.encode()) <= events.MOST_BYTES
    assert last_reported.message.startswith("ää")


def test_scheduler_events_have_their_own_timestamps() -> None:
    event = {
        **make_event("FailedScheduling", "no node"),
        "firstTimestamp": None,
        "lastTimestamp": None,
        "eventTime": ago(30).replace("Z", ".123456Z"),
    }
    assert events.first_at(event) == NOW - timedelta(seconds=30) + timedelta(microseconds=123456)


def test_events_of_another_pod_of_that_name_are_not_this_ones() -> None:
    pod = make_pod()
    other = make_event("Killing", "stopping")
    other = {**other, "involvedObject": {**other["involvedObject"], "uid": "another"}}

    assert list(events.about([other], pod)) == []
