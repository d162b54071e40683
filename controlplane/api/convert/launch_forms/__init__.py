"""
Converts inputs of tasks to JSON and back, for forms that start runs and for callers without the SDK.

``values`` follows flyteidl2's types, ``packed`` JSON schemas of msgpack values, ``schemas`` makes the
form itself. No value changes on the way: what JSON cannot hold is written as text or marked, or
refused with its path. docs/launch-forms.md has the rules.
"""

from controlplane.api.convert.launch_forms.forms import (
    convert_values,
    make_form,
    make_form_of_task,
    read_form,
    render_values,
)

__all__ = ["convert_values", "make_form", "make_form_of_task", "read_form", "render_values"]
