"""
Client of a control plane over HTTP: contexts, logins, and calls of its APIs as JSON.

A command of a person must start at once, so this package imports the standard library and
``shared.kit`` only: no event loop, no HTTP library, no protobuf.
"""
