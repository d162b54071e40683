"""
The vocabulary both planes speak: frozen values, typed ids, the phase table.

PURE: no input or output, no clock, no messages, no logging.
"""
