"""Training-free scores: what a network's architecture and its fresh weights alone say about how well it will do."""
