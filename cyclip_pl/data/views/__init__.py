"""Views: what the model sees of a sample. One idea per file."""
