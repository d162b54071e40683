"""Plugins, one file for each kind of resource; ``all_plugins`` in :mod:`.registry` lists them."""
