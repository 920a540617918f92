"""HW-EvRSNAS: penalised evolution guided by representation mutual information (Sinha et al., WACV 2024)."""
