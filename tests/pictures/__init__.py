"""Photographs the console for the README."""
