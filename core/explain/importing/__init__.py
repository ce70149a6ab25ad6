"""Catalogues that older pipelines left: their folders and Parquet tables, read into the tables of today."""
