"""What a model can do, measured: protocols on features of sets."""
