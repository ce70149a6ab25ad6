"""What an autoencoder's features do: where they fire, how often, beside which others, and what they promote."""
