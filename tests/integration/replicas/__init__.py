"""Several control planes on one database, an agent that is connected to one of them."""
