"""Records spans and sends them to a collector; the only package that knows OpenTelemetry's SDK."""
