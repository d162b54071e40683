run "subnets_of_three_zones" {
  command = plan
  variables {
    cidr  = "10.0.0.0/16"
    zones = ["a", "b", "c"]
  }
  assert {
    condition     = output.private == { a = "10.0.0.0/19", b = "10.0.32.0/19", c = "10.0.64.0/19" }
    error_message = "private: ${jsonencode(output.private)}"
  }
  assert {
    condition     = output.public == { a = "10.0.128.0/22", b = "10.0.132.0/22", c = "10.0.136.0/22" }
    error_message = "public: ${jsonencode(output.public)}"
  }
}

run "subnets_of_four_zones_do_not_overlap" {
  command = plan
  variables {
    cidr  = "172.16.16.0/20"
    zones = ["a", "b", "c", "d"]
  }
  assert {
    # The last private subnet ends before the first public one begins.
    condition     = output.private["d"] == "172.16.22.0/23" && output.public["a"] == "172.16.24.0/26"
    error_message = "${jsonencode(output.private)} ${jsonencode(output.public)}"
  }
}

run "network_with_bits_of_a_host_is_refused" {
  command = plan
  variables {
    cidr  = "10.0.0.1/16"
    zones = ["a", "b"]
  }
  expect_failures = [var.cidr]
}

run "network_that_is_too_small_is_refused" {
  command = plan
  variables {
    cidr  = "10.0.0.0/24"
    zones = ["a", "b"]
  }
  expect_failures = [var.cidr]
}

run "one_zone_is_refused" {
  command = plan
  variables {
    cidr  = "10.0.0.0/16"
    zones = ["a"]
  }
  expect_failures = [var.zones]
}

run "the_same_zone_twice_is_refused" {
  command = plan
  variables {
    cidr  = "10.0.0.0/16"
    zones = ["a", "a"]
  }
  expect_failures = [var.zones]
}
