"""Decoded copies on a node's disk."""
