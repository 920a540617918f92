"""What a search under way needs: its objective, checkpoints, processes and result."""
