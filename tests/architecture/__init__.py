"""Rules about the code itself that imports cannot say."""
