"""What a sweep asks: its settings, its space, the paper's points."""
