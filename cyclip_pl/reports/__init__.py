"""Run folders → tables, plots, one HTML page; reads files, never models."""
