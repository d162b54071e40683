"""flyteidl2's services over Connect: parse, call one use case, render."""
