"""One objective a file: `Embeddings` → named terms, `total` among them."""
