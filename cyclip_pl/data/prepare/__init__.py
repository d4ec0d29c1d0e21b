"""Shards from other sources: `cyclip-prepare --help`."""
