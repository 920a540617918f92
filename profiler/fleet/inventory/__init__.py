"""devices.yaml: read, held against itself, described by asking a board, edited in place, published as a schema."""
