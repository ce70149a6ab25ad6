"""The language model: opened, prompted, read and changed. Sits on study and errors alone."""
