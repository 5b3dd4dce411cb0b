"""The paper's numbers, claims, tables and figures."""
