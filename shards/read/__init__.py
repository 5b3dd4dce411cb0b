"""A packed set as arrays."""
