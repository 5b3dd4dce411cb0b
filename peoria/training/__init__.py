"""One training run, and the boundary around it."""
