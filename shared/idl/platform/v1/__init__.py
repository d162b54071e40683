"""Version 1. It only grows: no field is reused, renumbered or given a new meaning."""
