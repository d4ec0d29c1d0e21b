"""A model's features of images and texts, computed once and shared by the protocols."""
