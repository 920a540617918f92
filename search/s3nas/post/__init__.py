"""Squeeze-and-excitation and h-swish: adding, ranking, removing, and the rule by which they are kept."""
