"""What the losses are computed with: bounded memory, exact over ranks."""
