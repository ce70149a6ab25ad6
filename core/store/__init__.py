"""Artefacts and what is known of them: units, steps, the workspace, the ledger of jobs."""
