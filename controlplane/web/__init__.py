"""The HTTP server (Starlette on uvicorn): RPCs, probes, metrics, signed blobs, run pages."""
