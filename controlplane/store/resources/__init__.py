"""Rows of projects, tasks, runs, actions, clusters and queues: read, list, save."""
