"""How it is measured: campaigns, their journal, and the statistics of samples."""
