"""
The public door: flyteidl2's services, over Connect and gRPC-Web.

A service is a class here with one method per RPC that this release serves, named in
snake case (``CreateRun`` → ``create_run``). It takes the caller and the request message,
and gives the response message, or for a server stream an async iterator of them::

    class RunService:
        async def create_run(self, caller: Caller, request: CreateRunRequest) -> CreateRunResponse
        def watch_runs(self, caller: Caller, request: …) -> AsyncIterator[WatchRunsResponse]

By then ``interceptors`` has authenticated the caller, written the caller's org over every
org in the message, validated it, and asked ``permissions``; afterwards it turns refusals
into codes, logs and counts. So a method parses (``convert``), calls one use case, renders
(``convert``), and raises what ``core.errors`` names. Nothing in here knows SQL, and no
message goes further in.

Adding an RPC: its row in ``permissions``, its method, its converters, its tests.
"""
