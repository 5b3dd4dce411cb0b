"""From rows and pictures to a packed set."""
