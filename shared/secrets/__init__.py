"""
Seals values of secrets into envelopes, bound to the secret's full name, and opens them.

Only ``library`` imports ``aws_encryption_sdk``, and only ``envelopes`` imports ``library``, at the
first seal or open: it costs a second and 74 MB, which a process without secrets does not pay.
"""
