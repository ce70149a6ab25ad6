"""One module an analysis, one verb each: `run(inputs, config) -> Result`."""
