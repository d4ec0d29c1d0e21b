"""Where images come from; each file is one kind of source, see `items.Source`."""
