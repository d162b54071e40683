# A customer's side: cluster, bucket, identities without keys, and the agent.

module "names" {
  source = "../../common/names"

  name   = var.name
  scope  = "${var.account_id}-${var.region}"
  labels = var.labels
}

module "cluster" {
  source = "../cluster"
  count  = var.new_cluster == null ? 0 : 1

  name               = module.names.prefix
  region             = var.region
  cidr               = var.new_cluster.cidr
  zones              = var.new_cluster.zones
  kubernetes_version = var.new_cluster.kubernetes_version
  api_access_cidrs   = var.new_cluster.api_access_cidrs
  admin_arns         = var.new_cluster.admin_arns
  node_groups        = var.new_cluster.node_groups
  tags               = module.names.labels
}

locals {
  cluster = var.existing_cluster != null ? var.existing_cluster : {
    name                  = module.cluster[0].name
    endpoint              = module.cluster[0].endpoint
    certificate_authority = module.cluster[0].certificate_authority
  }
  namespace = "volary"
  account   = "volary-agent"
}

module "bucket" {
  source = "../bucket"

  name = module.names.bucket
  tags = module.names.labels
}

module "own" {
  source = "../policies"

  bucket_arn     = "arn:aws:s3:::${module.names.bucket}"
  bucket_key_arn = module.bucket.key_arn
}

module "shared" {
  source = "../policies"

  bucket_arn     = var.store.bucket_arn
  prefix         = var.store.prefix
  bucket_key_arn = var.store.key_arn
}

resource "aws_iam_role" "this" {
  for_each = toset(["agent", "tasks"])

  name               = "${module.names.prefix}-${each.value}"
  assume_role_policy = module.own.pod_identity_trust
  tags               = module.names.labels
}

resource "aws_iam_role_policy" "own" {
  for_each = aws_iam_role.this

  name   = "own-bucket"
  role   = each.value.id
  policy = module.own.store
}

resource "aws_iam_role_policy" "store" {
  for_each = aws_iam_role.this

  name   = "store-of-the-control-plane"
  role   = each.value.id
  policy = module.shared.store
}

resource "aws_eks_pod_identity_association" "agent" {
  cluster_name    = local.cluster.name
  namespace       = local.namespace
  service_account = local.account
  role_arn        = aws_iam_role.this["agent"].arn
  tags            = module.names.labels
}

resource "aws_eks_pod_identity_association" "tasks" {
  for_each = { for each in flatten([
    for namespace, accounts in var.task_service_accounts : [
      for account in accounts : { namespace = namespace, account = account }
    ]
  ]) : "${each.namespace}/${each.account}" => each }

  cluster_name    = local.cluster.name
  namespace       = each.value.namespace
  service_account = each.value.account
  role_arn        = aws_iam_role.this["tasks"].arn
  tags            = module.names.labels
}

resource "kubernetes_namespace_v1" "this" {
  metadata {
    name   = local.namespace
    labels = { "pod-security.kubernetes.io/enforce" = "restricted" }
  }

  depends_on = [module.cluster]
}

resource "kubernetes_secret_v1" "join_token" {
  metadata {
    name      = "volary-join-token"
    namespace = kubernetes_namespace_v1.this.metadata[0].name
  }
  data_wo          = { token = var.join_token }
  data_wo_revision = var.join_token_version
}

module "values" {
  source = "../../common/agent-values"

  control_plane_address = var.control_plane_address
  join_token_secret     = kubernetes_secret_v1.join_token.metadata[0].name
  service_account       = local.account
  image                 = var.chart.image
  copilot_image         = var.chart.copilot
  pod_identity          = true
}

resource "helm_release" "agent" {
  name       = "volary"
  namespace  = kubernetes_namespace_v1.this.metadata[0].name
  chart      = var.chart.path
  repository = var.chart.repo
  version    = var.chart.version
  values     = [module.values.values, yamlencode(var.values)]
  wait       = true
  atomic     = true
  timeout    = 600

  depends_on = [aws_eks_pod_identity_association.agent, aws_iam_role_policy.own, aws_iam_role_policy.store]
}
