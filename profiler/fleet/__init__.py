"""WHERE: which boards there are, how they are reached, and who may use them now."""
