"""`Features` → `Embeddings`."""
