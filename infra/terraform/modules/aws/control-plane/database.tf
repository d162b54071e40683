# Postgres on two zones, with backups of every moment.

resource "aws_kms_key" "database" {
  description             = "Database of ${module.names.prefix}"
  enable_key_rotation     = true
  deletion_window_in_days = 30
  tags                    = module.names.labels
}

resource "aws_db_subnet_group" "this" {
  name       = module.names.prefix
  subnet_ids = module.cluster.private_subnet_ids
  tags       = module.names.labels
}

resource "aws_security_group" "database" {
  name        = "${module.names.prefix}-database"
  description = "Postgres, from the nodes of the cluster only"
  vpc_id      = module.cluster.vpc_id
  tags        = module.names.labels
}

resource "aws_vpc_security_group_ingress_rule" "postgres" {
  security_group_id            = aws_security_group.database.id
  description                  = "Postgres from the nodes"
  ip_protocol                  = "tcp"
  from_port                    = 5432
  to_port                      = 5432
  referenced_security_group_id = module.cluster.node_security_group_id
  tags                         = module.names.labels
}

resource "aws_db_parameter_group" "this" {
  name   = module.names.prefix
  family = "postgres${var.database.postgres_version}"
  tags   = module.names.labels

  parameter {
    name  = "rds.force_ssl"
    value = "1"
  }
}

resource "aws_db_instance" "this" {
  identifier                   = module.names.prefix
  engine                       = "postgres"
  engine_version               = var.database.postgres_version
  instance_class               = local.machines[module.sizes.size.database.vcpus]
  allocated_storage            = module.sizes.size.database.storage_gib
  max_allocated_storage        = module.sizes.size.database.storage_gib * 4
  storage_type                 = "gp3"
  storage_encrypted            = true
  kms_key_id                   = aws_kms_key.database.arn
  db_name                      = "volary"
  username                     = "volary_owner"
  manage_master_user_password  = true
  multi_az                     = true
  db_subnet_group_name         = aws_db_subnet_group.this.name
  vpc_security_group_ids       = [aws_security_group.database.id]
  parameter_group_name         = aws_db_parameter_group.this.name
  publicly_accessible          = false
  backup_retention_period      = var.database.backup_days
  copy_tags_to_snapshot        = true
  deletion_protection          = var.database.deletion_protection
  final_snapshot_identifier    = "${module.names.prefix}-final"
  auto_minor_version_upgrade   = true
  performance_insights_enabled = true
  tags                         = module.names.labels
}
