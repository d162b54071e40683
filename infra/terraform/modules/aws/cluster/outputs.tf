output "name" {
  value       = aws_eks_cluster.this.name
  description = "Name of the cluster."
}

output "endpoint" {
  value       = aws_eks_cluster.this.endpoint
  description = "Address of the API server."
}

output "certificate_authority" {
  value       = base64decode(aws_eks_cluster.this.certificate_authority[0].data)
  description = "CA of the API server, as PEM."
}

output "vpc_id" {
  value       = aws_vpc.this.id
  description = "Id of the network."
}

output "private_subnet_ids" {
  value       = [for subnet in aws_subnet.private : subnet.id]
  description = "Ids of the private subnets."
}

output "node_security_group_id" {
  value       = aws_eks_cluster.this.vpc_config[0].cluster_security_group_id
  description = "Security group of the nodes."
}

output "ready" {
  value       = [for group in aws_eks_node_group.this : group.status]
  description = "Known once there are nodes: depend on it to install charts."
}
