"""What a neural network costs on an edge board, and which network is best within that cost."""

__version__ = "0.1.0"
