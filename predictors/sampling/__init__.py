"""Which kernels to measure so that the others can be predicted: shapes that cover, and shapes where the error is."""
