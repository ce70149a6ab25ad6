"""One builder a step: from what is known of a study to the step's units."""
