"""Latency tables that others published, read as plain rows."""
