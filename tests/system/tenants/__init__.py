"""Two orgs on one control plane: the finish line of tenancy."""
