"""flyteidl2's messages to our values and back, a file for each noun."""
