"""What shards hold, before a training reads them: counts, sizes, lost samples, captions."""
