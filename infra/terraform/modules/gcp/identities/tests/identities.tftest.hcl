variables {
  prefix  = "volary-prod"
  project = "acme-data"
  accounts = {
    agent = { volary = ["volary-agent"] }
    tasks = { shop-production = ["default", "train"], shop-staging = ["default"] }
  }
}

run "accounts_are_named_after_the_environment" {
  command = plan
  assert {
    condition     = output.account_ids == { agent = "volary-prod-agent", tasks = "volary-prod-tasks" }
    error_message = jsonencode(output.account_ids)
  }
}

run "long_names_of_accounts_stay_apart_and_within_30_characters" {
  command = plan
  variables {
    prefix = "volary-abcdefghijklmnopqrstuvwx"
  }
  assert {
    condition     = alltrue([for id in values(output.account_ids) : can(regex("^[a-z][-a-z0-9]{4,28}[a-z0-9]$", id))])
    error_message = jsonencode(output.account_ids)
  }
  assert {
    condition     = length(distinct(values(output.account_ids))) == 2
    error_message = jsonencode(output.account_ids)
  }
}

run "each_kubernetes_account_acts_as_its_own_service_account_only" {
  command = plan
  assert {
    condition = { for key, each in output.members : key => each.member } == {
      "agent/volary/volary-agent"     = "serviceAccount:acme-data.svc.id.goog[volary/volary-agent]"
      "tasks/shop-production/default" = "serviceAccount:acme-data.svc.id.goog[shop-production/default]"
      "tasks/shop-production/train"   = "serviceAccount:acme-data.svc.id.goog[shop-production/train]"
      "tasks/shop-staging/default"    = "serviceAccount:acme-data.svc.id.goog[shop-staging/default]"
    }
    error_message = jsonencode(output.members)
  }
  assert {
    condition     = alltrue([for key, each in output.members : startswith(key, "${each.suffix}/")])
    error_message = jsonencode(output.members)
  }
}

run "no_accounts_have_no_members" {
  command = plan
  variables {
    accounts = { agent = {}, tasks = {} }
  }
  assert {
    condition     = length(output.members) == 0
    error_message = jsonencode(output.members)
  }
}

run "a_prefix_limits_objects_and_lists" {
  command = plan
  variables {
    bucket        = "control"
    bucket_prefix = "volary/acme"
  }
  assert {
    condition     = output.condition == "resource.name.startsWith(\"projects/_/buckets/control/objects/volary/acme/\") || api.getAttribute(\"storage.googleapis.com/objectListPrefix\", \"\").startsWith(\"volary/acme/\")"
    error_message = output.condition
  }
}

run "a_whole_bucket_has_no_condition" {
  command = plan
  assert {
    condition     = output.condition == ""
    error_message = output.condition
  }
}

run "a_prefix_that_ends_the_condition_is_refused" {
  command = plan
  variables {
    bucket_prefix = "a\") || true || (\""
  }
  expect_failures = [var.bucket_prefix]
}

run "a_slash_at_the_end_is_refused" {
  command = plan
  variables {
    bucket_prefix = "volary/"
  }
  expect_failures = [var.bucket_prefix]
}

run "a_number_of_a_project_is_refused" {
  command = plan
  variables {
    project = "123456789012"
  }
  expect_failures = [var.project]
}
