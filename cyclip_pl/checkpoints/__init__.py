"""Read what training wrote."""
