"""
The public API: flyteidl2's services, over Connect and gRPC-Web.

A service is a class here with one method per RPC that this release serves, named in
snake case (``CreateRun`` → ``create_run``). It takes the caller and the request message,
and gives the response message, or for a server stream an async iterator of them::

    class RunService:
        async def create_run(self, caller: Caller, request: CreateRunRequest) -> CreateRunResponse
        def watch_runs(self, caller: Caller, request: …) -> AsyncIterator[WatchRunsResponse]

``interceptors`` authenticates the caller, overwrites every org in the message with the
caller's, validates the message and checks ``permissions`` before the method runs; afterwards
it maps errors to Connect codes, logs and counts. So a method parses (``convert``), calls one
use case, renders (``convert``), and raises the errors of ``core.errors``. No SQL in this
package, and no protobuf message is passed to the packages below it.
message goes further in.

Adding an RPC: its row in ``permissions``, its method, its converters, its tests.
"""
