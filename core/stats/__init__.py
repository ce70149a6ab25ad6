"""Statistics of arrays and labels: intervals, rank tests, families of tests, probes, enrichment, similarity."""
