"""Secret managers outside of Volary, read by the agent: AWS, Google Cloud, Azure, Vault."""
