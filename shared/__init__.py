"""
Code that the control plane and the data plane share; nothing here imports either.

``model`` holds the domain types, ``idl`` the protobuf schema of the agent link, ``wire``
the conversion between the two, ``formats`` files that both planes know, ``blobs`` the object
stores, ``kit`` helpers that know nothing of the domain.
"""
