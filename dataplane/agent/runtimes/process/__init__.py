"""
Process runtime: runs attempts as local processes.

Three programs share an attempt's directory (``directory``): the agent (``runtime``), a
shim per attempt that supervises the task's process and outlives the agent (``shim``), and
one zygote with the SDK's modules imported, from which shims are forked (``zygote``; the
agent's side of it is ``spawner``). The shim and the zygote import only the standard
library and the modules of this package. Linux only.
"""
