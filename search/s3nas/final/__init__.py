"""The final network: trained from scratch, exported, held against torch."""
