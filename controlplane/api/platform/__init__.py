"""
The platform API, ``volary.platform.v1``: orgs, members, roles, keys, the audit log.

Served as flyteidl2's services are (``controlplane.api``), from the descriptors of
``shared/idl/platform/v1``. What all its RPCs have in common is in ``conventions``.
"""
