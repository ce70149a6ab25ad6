"""The language model: opened, prompted, read and changed, and compared with transformers' own forward."""
