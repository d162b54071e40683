"""Resources that plugins build, on an API server that has the operators' own definitions."""
