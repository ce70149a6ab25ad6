"""What a language model can ask of features, over the Model Context Protocol."""
