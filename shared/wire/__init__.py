"""Messages to values and back; a message that breaks its contract ends here."""
