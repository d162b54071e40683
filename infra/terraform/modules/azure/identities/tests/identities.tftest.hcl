variables {
  name  = "eu-prod"
  scope = "00000000-0000-0000-0000-000000000000-germanywestcentral"
  accounts = {
    agent = { volary = ["volary-agent"] }
    tasks = { shop-production = ["default", "train"] }
  }
}

run "storage_account_has_a_name_by_the_rules_of_azure" {
  command = plan
  assert {
    condition     = can(regex("^voleuprod[0-9a-f]{10}$", output.storage_account))
    error_message = output.storage_account
  }
}

run "long_name_of_a_storage_account_is_cut" {
  command = plan
  variables {
    name = "abcdefghijklmnopqrstuvwx"
  }
  assert {
    condition     = can(regex("^[a-z0-9]{24}$", output.storage_account))
    error_message = output.storage_account
  }
}

run "each_kubernetes_account_is_the_subject_of_its_own_identity" {
  command = plan
  assert {
    condition = { for key, each in output.subjects : key => "${each.suffix}=${each.subject}" } == {
      agent-volary-volary-agent     = "agent=system:serviceaccount:volary:volary-agent"
      tasks-shop-production-default = "tasks=system:serviceaccount:shop-production:default"
      tasks-shop-production-train   = "tasks=system:serviceaccount:shop-production:train"
    }
    error_message = jsonencode(output.subjects)
  }
}

run "a_prefix_limits_blobs_and_lists" {
  command = plan
  variables {
    prefix = "volary/acme"
  }
  assert {
    condition     = length(regexall("StringLike 'volary/acme/\\*'", output.condition)) == 2
    error_message = output.condition
  }
  assert {
    condition     = alltrue([for action in ["read", "write", "add/action", "delete", "move/action"] : strcontains(output.condition, "blobs/${action}'}")])
    error_message = output.condition
  }
  assert {
    condition     = length(regexall("\\(", output.condition)) == length(regexall("\\)", output.condition))
    error_message = output.condition
  }
}

run "a_whole_container_has_no_condition" {
  command = plan
  assert {
    condition     = output.condition == null
    error_message = "there is a condition"
  }
}

run "a_prefix_that_ends_the_condition_is_refused" {
  command = plan
  variables {
    prefix = "a') OR ('"
  }
  expect_failures = [var.prefix]
}

run "a_prefix_with_a_wildcard_is_refused" {
  command = plan
  variables {
    prefix = "volary/*"
  }
  expect_failures = [var.prefix]
}
