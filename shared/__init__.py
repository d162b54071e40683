"""
What the two planes share, and all they share.

``model`` is the vocabulary, ``idl`` the wire contract, ``wire`` the one place that
knows both spellings, ``blobs`` the object stores, ``kit`` helpers with no word of our
domain in them. Nothing here imports either plane.
"""
