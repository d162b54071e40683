# Addresses of a network: a public and a private subnet in each zone. No provider.
#
# Half of the network is for private subnets, where nodes and pods are; an eighth is for public ones, where
# load balancers and NAT gateways are. The rest is free.

terraform {
  required_version = ">= 1.11"
}

variable "cidr" {
  type        = string
  description = "Addresses of the network, as in 10.0.0.0/16: from /16 to /20."

  validation {
    condition     = can(cidrhost(var.cidr, 0)) && try(cidrsubnet(var.cidr, 0, 0) == var.cidr, false)
    error_message = "cidr must be a network such as 10.0.0.0/16, without bits of a host."
  }
  validation {
    condition     = try(tonumber(split("/", var.cidr)[1]) >= 16 && tonumber(split("/", var.cidr)[1]) <= 20, false)
    error_message = "cidr must be from /16 to /20: each pod takes an address of a private subnet."
  }
}

variable "zones" {
  type        = list(string)
  description = "Availability zones: two to four."

  validation {
    condition     = length(var.zones) >= 2 && length(var.zones) <= 4 && length(distinct(var.zones)) == length(var.zones)
    error_message = "zones must name two to four different zones."
  }
}

output "private" {
  value       = { for number, zone in var.zones : zone => cidrsubnet(var.cidr, 3, number) }
  description = "The private subnet of each zone: an eighth of the network."
}

output "public" {
  value       = { for number, zone in var.zones : zone => cidrsubnet(var.cidr, 6, 32 + number) }
  description = "The public subnet of each zone: a sixty-fourth of the network."
}
