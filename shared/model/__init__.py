"""
Domain types of both planes: frozen values, typed ids, the phase transition table.

PURE: no input or output, no clock, no protobuf messages, no logging.
"""
