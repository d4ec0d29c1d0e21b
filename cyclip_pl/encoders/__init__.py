"""`Batch` → `Features`."""
