"""
Object stores (S3 or a local directory) by way of obstore, which only this package imports.

``store`` is the client, ``options`` the connection settings of S3, ``directory`` the
durability and symlink checks that obstore lacks, ``errors`` the exceptions.
"""
