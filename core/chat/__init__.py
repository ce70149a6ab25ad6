"""Chat models behind OpenAI-compatible endpoints and on this machine: many questions, asked within a budget, answers kept."""
