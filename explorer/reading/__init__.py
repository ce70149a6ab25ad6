"""What is shown of studies that have run: layers, features, samples, pictures, and what fires on a question."""
