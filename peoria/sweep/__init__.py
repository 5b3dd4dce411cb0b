"""A sweep from its definition to its record."""
