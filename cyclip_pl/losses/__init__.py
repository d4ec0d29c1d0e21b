"""Pure functions of tensors, one idea a file.

Under an initialised process group each takes its rank's rows and returns the *global* loss on
every rank. Arithmetic is float32 at least, autocast or not: a similarity of 0.99 times a scale of
100 has no digits left in bfloat16.
"""
