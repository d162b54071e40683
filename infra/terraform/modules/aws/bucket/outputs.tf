output "name" {
  value       = aws_s3_bucket.this.bucket
  description = "Name of the bucket."
}

output "key_arn" {
  value       = aws_kms_key.this.arn
  description = "ARN of the key that encrypts the objects."
}
