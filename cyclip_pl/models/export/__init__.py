"""Models as other libraries load them; one format per file."""
