variables {
  host            = "volary.example.com"
  size            = { replicas = 3, cpu = "1", memory = "2Gi", pool_size = 15 }
  tls_secret      = "volary-tls"
  database_secret = "volary-database"
  keys_secret     = "volary-keys"
  blob_base       = "s3://bucket/volary"
  region          = "eu-central-1"
  service_account = "volary-controlplane"
  image           = "example.com/volary/controlplane"
}

run "replicas_are_spread_over_zones" {
  command = plan
  assert {
    condition     = yamldecode(output.values).topologySpreadConstraints[0].whenUnsatisfiable == "DoNotSchedule" && yamldecode(output.values).replicas == 3
    error_message = output.values
  }
}

run "other_settings_are_variables" {
  command = plan
  variables {
    variables = { VOLARY_SECRETS_KMS_KEYS = "arn" }
  }
  assert {
    condition     = yamldecode(output.values).extraEnv == [{ name = "VOLARY_SECRETS_KMS_KEYS", value = "arn" }]
    error_message = output.values
  }
}

run "stores_of_other_clouds_are_taken" {
  command = plan
  variables {
    blob_base     = "abfs://container/volary"
    region        = ""
    azure_account = "volprod"
  }
  assert {
    condition     = yamldecode(output.values).blobs.azure.account == "volprod"
    error_message = output.values
  }
}

run "account_in_the_base_is_refused" {
  command = plan
  variables {
    blob_base = "abfs://container@account.dfs.core.windows.net/volary"
  }
  expect_failures = [var.blob_base]
}

run "base_with_a_slash_at_the_end_is_refused" {
  command = plan
  variables {
    blob_base = "s3://bucket/volary/"
  }
  expect_failures = [var.blob_base]
}
