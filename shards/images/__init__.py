"""The picture rule, and which pictures are near-duplicates."""
