"""Which parameters learn at which rate, by which optimizer, on which schedule."""
