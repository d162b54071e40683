"""Reads, lists and saves projects, tasks, runs, actions, clusters and queues."""
