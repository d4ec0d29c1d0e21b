"""Labelled images from wherever they are: shards, folders, URLs, torchvision's sets."""
