"""Limits of calls to connectors and of the attempts that they run."""

from datetime import timedelta

MESSAGE_BYTES = 64 * 1024 * 1024  # inputs on their way, outputs on theirs
DIAL_TIMEOUT = timedelta(seconds=10)
CREATE_TIMEOUT = timedelta(seconds=60)  # of CreateTask and of DeleteTask
GET_TIMEOUT = timedelta(seconds=30)
POLL_MIN = timedelta(seconds=1)  # between two polls of a job, growing
POLL_MAX = timedelta(seconds=30)
UNAVAILABLE_TIMEOUT = timedelta(minutes=10)  # with a connector that does not answer
DELETE_TIMEOUT = timedelta(seconds=30)  # from DeleteTask to the end of the job
LOG_LINES = 10_000  # of one attempt's log
LOGS_KEPT = 256  # of attempts that are over
