"""Resource of each task type, and how its status is classified."""
