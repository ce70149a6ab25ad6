"""From a study to its units: read, located and hashed, named, and compared with what is there."""
