"""What the server's process and the tests have to agree about."""

TASK_TYPE = "test-job"
DIRECTORY_VARIABLE = "TEST_JOBS"
