"""
Tests of infra/terraform: the provider against a real control plane, and the modules.

They run ``terraform`` or ``tofu`` of the machine, or else Terraform from PyPI (``cli.py``).
"""
