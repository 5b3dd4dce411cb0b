"""What the test split says, once it is open."""
