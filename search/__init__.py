"""Which architecture is best within a budget: search spaces and the searches over them."""
