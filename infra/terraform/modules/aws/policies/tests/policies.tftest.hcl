variables {
  bucket_arn = "arn:aws:s3:::volary-prod"
}

run "whole_bucket_without_keys" {
  command = plan
  assert {
    condition     = [for each in jsondecode(output.store).Statement : each.Sid] == ["Objects", "List"]
    error_message = output.store
  }
  assert {
    condition     = jsondecode(output.store).Statement[0].Resource == "arn:aws:s3:::volary-prod/*"
    error_message = output.store
  }
  assert {
    condition     = !strcontains(output.store, "\"*\"") && !strcontains(output.control_plane, "kms:")
    error_message = "a policy allows every resource, or a key that is not given"
  }
}

run "prefix_bounds_objects_and_lists" {
  command = plan
  variables {
    prefix = "acme/runs"
  }
  assert {
    condition     = jsondecode(output.store).Statement[0].Resource == "arn:aws:s3:::volary-prod/acme/runs/*"
    error_message = output.store
  }
  assert {
    condition     = jsondecode(output.store).Statement[1].Condition.StringLike["s3:prefix"] == ["acme/runs", "acme/runs/*"]
    error_message = output.store
  }
}

run "only_the_control_plane_uses_the_key_of_secrets" {
  command = plan
  variables {
    bucket_key_arn  = "arn:aws:kms:eu-central-1:123456789012:key/bucket"
    secrets_key_arn = "arn:aws:kms:eu-central-1:123456789012:key/secrets"
  }
  assert {
    condition     = strcontains(output.control_plane, "key/secrets") && !strcontains(output.store, "key/secrets")
    error_message = output.store
  }
  assert {
    condition     = alltrue([for each in jsondecode(output.control_plane).Statement : each.Effect == "Allow" && each.Resource != "*"])
    error_message = output.control_plane
  }
}

run "plain_connections_are_denied" {
  command = plan
  assert {
    condition     = jsondecode(output.bucket).Statement[0].Effect == "Deny" && length(jsondecode(output.bucket).Statement[0].Resource) == 2
    error_message = output.bucket
  }
}

run "prefix_with_a_wildcard_is_refused" {
  command = plan
  variables {
    prefix = "acme*"
  }
  expect_failures = [var.prefix]
}

run "arn_of_another_service_is_refused" {
  command = plan
  variables {
    bucket_arn = "arn:aws:kms:eu-central-1:123456789012:key/bucket"
  }
  expect_failures = [var.bucket_arn]
}
