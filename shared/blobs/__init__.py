"""
Object stores (S3, Google Cloud Storage, Azure, a local directory) by way of obstore, which only
this package imports.

``store`` is the client, ``buckets`` opens the kinds of buckets, ``options`` are their connection
settings, ``directory`` the durability and symlink checks that obstore lacks, ``gcs`` and ``azure``
sign links, ``errors`` has the exceptions.
"""
