"""Object stores (S3, GCS, Azure, a local directory) behind obstore; nobody else knows it."""
