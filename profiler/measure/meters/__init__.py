"""External meters: power that the host reads beside a board, under one contract (docs/energy.md)."""
