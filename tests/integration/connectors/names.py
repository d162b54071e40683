"""Names shared by the connector server's process and the tests."""

TASK_TYPE = "test-job"
DIRECTORY_VARIABLE = "TEST_JOBS"
