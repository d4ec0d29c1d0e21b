"""Evaluation protocols, one a file: features and sets in, metrics out."""
