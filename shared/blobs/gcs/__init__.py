"""Google Cloud Storage, where obstore stops: identities, signatures of upload parts."""
