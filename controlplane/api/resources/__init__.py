"""
The resource API: projects, tasks, runs, actions, settings and secrets over plain HTTP and JSON.

Each route of ``routes`` is one RPC of flyteidl2, written as a method and a path: ``requests`` builds
the RPC's message from the path, the query and the body, the RPC's own interceptors and method answer
it, and ``answers`` writes the response as protobuf JSON. So a route needs the RPC's permission, has
its checks, its log line and its metrics, and there is no second way to do what the RPC does.

Adding a route: its row in ``routes``, its fields in ``fields`` if it is a list, a test.
"""
