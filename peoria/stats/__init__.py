"""Numbers and their intervals, on arrays; knows nothing of sweeps."""
