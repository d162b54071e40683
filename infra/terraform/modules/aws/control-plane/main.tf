# The control plane: cluster, Postgres, bucket, the key that seals secrets, and the chart.

module "names" {
  source = "../../common/names"

  name   = var.name
  scope  = "${var.account_id}-${var.region}"
  labels = var.labels
}

module "sizes" {
  source = "../../common/sizes"

  size = var.size
}

module "cluster" {
  source = "../cluster"

  name               = module.names.prefix
  region             = var.region
  cidr               = var.cluster.cidr
  zones              = var.cluster.zones
  kubernetes_version = var.cluster.kubernetes_version
  api_access_cidrs   = var.cluster.api_access_cidrs
  admin_arns         = var.cluster.admin_arns
  tags               = module.names.labels
  node_groups = {
    control-plane = {
      instance_types = var.cluster.instance_types
      min            = length(var.cluster.zones)
      max            = length(var.cluster.zones) + module.sizes.size.replicas
    }
  }
}

module "bucket" {
  source = "../bucket"
  count  = var.bucket == "" ? 1 : 0

  name = module.names.bucket
  tags = module.names.labels
}

locals {
  bucket         = var.bucket == "" ? module.bucket[0].name : var.bucket
  bucket_key_arn = var.bucket == "" ? module.bucket[0].key_arn : var.bucket_key_arn
  namespace      = "volary"
  account        = "volary-controlplane"
  machines       = { 2 = "db.m7g.large", 4 = "db.m7g.xlarge", 8 = "db.m7g.2xlarge" }
}

resource "aws_kms_key" "secrets" {
  description             = "Seals the secrets of ${module.names.prefix}"
  enable_key_rotation     = true
  deletion_window_in_days = 30
  tags                    = module.names.labels

  # Without it, no secret can be opened again.
  lifecycle {
    prevent_destroy = true
  }
}

module "policies" {
  source = "../policies"

  bucket_arn      = "arn:aws:s3:::${local.bucket}"
  bucket_key_arn  = local.bucket_key_arn
  secrets_key_arn = aws_kms_key.secrets.arn
}

resource "aws_iam_role" "this" {
  name               = "${module.names.prefix}-control-plane"
  assume_role_policy = module.policies.pod_identity_trust
  tags               = module.names.labels
}

resource "aws_iam_role_policy" "this" {
  name   = "control-plane"
  role   = aws_iam_role.this.id
  policy = module.policies.control_plane
}

resource "aws_eks_pod_identity_association" "this" {
  cluster_name    = module.cluster.name
  namespace       = local.namespace
  service_account = local.account
  role_arn        = aws_iam_role.this.arn
  tags            = module.names.labels
}

module "values" {
  source = "../../common/control-plane-values"

  host            = var.host
  size            = module.sizes.size
  tls_secret      = var.tls_secret
  database_secret = var.database_secret
  keys_secret     = var.keys_secret
  blob_base       = "s3://${local.bucket}/volary"
  region          = var.region
  service_account = local.account
  image           = var.chart.image
  pod_identity    = true
  variables       = { VOLARY_SECRETS_KMS_KEYS = aws_kms_key.secrets.arn }
  service_annotations = {
    "service.beta.kubernetes.io/aws-load-balancer-type"            = "external"
    "service.beta.kubernetes.io/aws-load-balancer-nlb-target-type" = "ip"
    "service.beta.kubernetes.io/aws-load-balancer-scheme"          = "internet-facing"
  }
}

resource "helm_release" "control_plane" {
  name             = "volary"
  namespace        = local.namespace
  create_namespace = true
  chart            = var.chart.path
  repository       = var.chart.repo
  version          = var.chart.version
  values           = [module.values.values, yamlencode(var.values)]
  wait             = true
  timeout          = 900

  depends_on = [module.cluster, aws_db_instance.this, aws_iam_role_policy.this, aws_eks_pod_identity_association.this]
}

data "kubernetes_service_v1" "this" {
  metadata {
    name      = "volary-controlplane"
    namespace = local.namespace
  }

  depends_on = [helm_release.control_plane]
}

resource "aws_route53_record" "this" {
  count = var.zone_id == "" ? 0 : 1

  zone_id = var.zone_id
  name    = var.host
  type    = "CNAME"
  ttl     = 60
  records = [data.kubernetes_service_v1.this.status[0].load_balancer[0].ingress[0].hostname]
}
