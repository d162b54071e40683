run "a_larger_size_has_more_of_everything" {
  command = plan
  variables {
    size = "large"
  }
  assert {
    condition     = output.size.replicas == 6 && output.size.database.vcpus == 8
    error_message = jsonencode(output.size)
  }
  assert {
    # Postgres allows about 100 connections for each GiB of 8: RDS computes memory/9531392.
    condition     = output.size.replicas * output.size.pool_size < output.size.database.memory_gib * 100
    error_message = "more connections than the database takes"
  }
}

run "every_size_has_several_replicas" {
  command = plan
  variables {
    size = "small"
  }
  assert {
    condition     = output.size.replicas >= 2
    error_message = "one replica is not available while it is replaced"
  }
}

run "another_size_is_refused" {
  command = plan
  variables {
    size = "huge"
  }
  expect_failures = [var.size]
}
