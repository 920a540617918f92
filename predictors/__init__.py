"""What a workload would cost on a target, and how sure that is."""
