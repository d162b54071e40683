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
