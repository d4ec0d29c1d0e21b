"""Shards → samples → views → `Batch`."""
