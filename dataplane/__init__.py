"""What runs in a customer's cluster: the ``agent``, and the ``copilot`` beside a task."""
