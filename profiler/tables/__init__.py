"""What came of it: tables of costs, read from the journals."""
