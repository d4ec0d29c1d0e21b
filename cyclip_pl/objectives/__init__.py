"""One objective per file: `Embeddings` → named terms, `total` among them."""
