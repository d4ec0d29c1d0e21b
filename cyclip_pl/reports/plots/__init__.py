"""One kind of plot per file: `draw(runs)` returns the plots, none if no run has the data."""
