"""Azure Blob Storage, where obstore stops: identities, shared access signatures, blocks."""
