"""What each task type's resource looks like, and what its status is taken to mean."""
