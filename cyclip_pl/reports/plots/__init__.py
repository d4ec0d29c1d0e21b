"""A plot a file: `draw(runs)` gives its pictures, none if no run has what it shows."""
