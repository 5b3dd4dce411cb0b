"""A packed set that changes: new counts, pictures removed, pictures added."""
