"""What a workload costs on a board, measured."""
