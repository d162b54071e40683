variables {
  control_plane_address = "volary.example.com"
  join_token_secret     = "volary-join-token"
  service_account       = "volary-agent"
  image                 = "example.com/volary/agent"
  copilot_image         = "example.com/volary/copilot:1"
}

run "pod_identity_is_reached_only_where_it_is_used" {
  command = plan
  assert {
    condition     = yamldecode(output.values).networkPolicy.extraEgress == []
    error_message = output.values
  }
}

run "metadata_server_of_gke_is_allowed_by_the_network_policy" {
  command = plan
  variables {
    gke_metadata = true
  }
  assert {
    condition     = [for rule in yamldecode(output.values).networkPolicy.extraEgress : rule.ports[0].port] == [80, 988]
    error_message = output.values
  }
}

run "storage_account_and_labels_of_azure_reach_agent_and_tasks" {
  command = plan
  variables {
    azure_account = "volprod"
    pod_labels    = { "azure.workload.identity/use" = "true" }
  }
  assert {
    condition     = yamldecode(output.values).storage.azureAccount == "volprod"
    error_message = output.values
  }
  assert {
    condition     = yamldecode(output.values).tasks.pods.labels == yamldecode(output.values).podLabels
    error_message = output.values
  }
}

run "pod_identity_is_allowed_by_the_network_policy" {
  command = plan
  variables {
    pod_identity = true
  }
  assert {
    condition     = yamldecode(output.values).networkPolicy.extraEgress[0].to[0].ipBlock.cidr == "169.254.170.23/32"
    error_message = output.values
  }
}
