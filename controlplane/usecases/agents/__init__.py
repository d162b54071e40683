"""Use cases of agents' identity: authorities, enrolment, certificates."""
