"""S3NAS: a supernet searched in one run under a latency budget, scaled and post-processed (Lee et al., 2020, 2022)."""
