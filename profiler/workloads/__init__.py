"""What to run: workloads, their weights, and their lowerings."""
