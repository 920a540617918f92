"""Auditing finished tables, ours and those of others: what a table's own figures say about how far to trust them."""
