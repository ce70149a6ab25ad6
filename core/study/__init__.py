"""The sections of a study, but for its analyses': each analysis declares its own."""
