"""Workers that are SLURM jobs."""
