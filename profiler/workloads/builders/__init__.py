"""Workload -> artefact: one lowering a file format, checked against each other."""
