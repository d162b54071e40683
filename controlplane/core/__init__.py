"""PURE. Rules about our nouns: no input or output, no clock, no messages."""
