"""Programs for people who work on Volary; none of them is shipped."""
