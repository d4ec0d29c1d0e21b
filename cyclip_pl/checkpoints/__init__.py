"""The checkpoints that training writes: read, checked, resumed."""
