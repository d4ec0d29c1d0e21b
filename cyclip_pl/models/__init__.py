"""Models as users and evaluations see them: ours, open_clip's, the authors'."""
