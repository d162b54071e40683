"""Background loops: level-triggered passes that are safe on every replica at any time."""
