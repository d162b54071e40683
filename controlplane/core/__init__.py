"""Domain rules. PURE: no input or output, no clock, no protobuf messages."""
