"""Run a deployed task, say which run it is, and wait for it however long it takes."""

import sys

import flyte
import flyte.remote

endpoint, gate = sys.argv[1:]
flyte.init(endpoint=endpoint, insecure=True, project="flytesnacks", domain="development")
run = flyte.run(flyte.remote.Task.get("talking.until", auto_version="latest"), gate=gate)
print("Created Run:", run.name, flush=True)
run.wait(quiet=True)
print("phase", run.phase)
