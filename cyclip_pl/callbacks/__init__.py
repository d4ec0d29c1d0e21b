"""When things run around training."""
