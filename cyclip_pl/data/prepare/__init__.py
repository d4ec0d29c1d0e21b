"""Shards from other sources: `python -m cyclip_pl.data.prepare --help`."""
