"""Search among the images and captions of shards, on a page in the browser."""
