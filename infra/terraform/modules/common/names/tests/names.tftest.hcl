run "short_names_stay_as_they_are" {
  command = plan
  variables {
    name   = "prod"
    scope  = "123456789012-eu-central-1"
    labels = { team = "ml" }
  }
  assert {
    condition     = output.bucket == "volary-prod-123456789012-eu-central-1"
    error_message = "the bucket is ${output.bucket}"
  }
  assert {
    condition     = output.labels == { team = "ml", volary-name = "prod", volary-managed-by = "terraform" }
    error_message = "the labels differ"
  }
}

run "long_names_end_in_a_digest" {
  command = plan
  variables {
    name  = "a-name-of-24-characters1"
    scope = "a-project-with-a-very-long-name-northamerica-northeast1"
  }
  assert {
    condition     = length(output.bucket) <= 63 && can(regex("^[a-z0-9][-a-z0-9]+-[0-9a-f]{8}$", output.bucket))
    error_message = "the bucket is ${output.bucket}"
  }
}

run "names_of_other_characters_are_refused" {
  command = plan
  variables {
    name = "Prod_1"
  }
  expect_failures = [var.name]
}

run "names_that_are_too_long_are_refused" {
  command = plan
  variables {
    name = "a-name-of-25-characters12"
  }
  expect_failures = [var.name]
}

run "labels_of_the_module_are_refused" {
  command = plan
  variables {
    name   = "prod"
    labels = { volary-name = "other" }
  }
  expect_failures = [var.labels]
}
