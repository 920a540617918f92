"""Comparing two tables: whether they may be compared, and which workloads have become slower or faster."""
