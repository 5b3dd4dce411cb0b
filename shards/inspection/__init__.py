"""What a packed set holds, and whether it is whole."""
