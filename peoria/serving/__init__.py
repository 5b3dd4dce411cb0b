"""A finished sweep's models, used."""
