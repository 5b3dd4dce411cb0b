"""What a network has to be worth more than."""
