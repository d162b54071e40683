"""The model of Postgres that simulations run on, held to the real store."""
