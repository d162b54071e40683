"""Sends requests and mail to addresses that customers choose, without reaching private networks."""
