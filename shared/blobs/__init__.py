"""
Object stores (S3, a local directory) behind obstore; nobody else knows it.

``store`` is what others use, ``options`` how a store is reached, ``directory`` what a
directory needs beyond obstore, ``errors`` everything that can go wrong.
"""
