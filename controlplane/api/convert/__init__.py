"""Conversions between flyteidl2's messages and domain values, one file per noun."""
