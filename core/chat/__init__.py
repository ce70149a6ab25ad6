"""Chat models behind OpenAI-compatible endpoints and on this machine: asked within a budget, answers kept."""
