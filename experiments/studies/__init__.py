"""What the studies share: plans, rows, intervals, tables and plots."""
