"""Tables to plain rows."""
