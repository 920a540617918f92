"""The study of HW-EvRSNAS, step by step: options, cells, scores, boards, and what it took."""
