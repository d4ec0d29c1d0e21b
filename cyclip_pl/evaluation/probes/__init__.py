"""Linear classifiers on frozen features, and which rows they are fitted on."""
