"""One kind of plot per file: `draw(runs)` yields its figures, none if no run has the data."""
