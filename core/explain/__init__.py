"""What features mean: their examples, explanations by several explainers, scores, embeddings, and the catalogue."""
