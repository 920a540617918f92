"""What is ours beyond the paper's search: fronts, several devices, combined scores, finalists, certain budgets."""
