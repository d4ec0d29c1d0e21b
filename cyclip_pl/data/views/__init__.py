"""Views: what the model sees of a sample. One idea per file."""

from cyclip_pl.data.views.base import ViewedSample, Views
from cyclip_pl.data.views.evaluation import evaluation_transform

__all__ = ["ViewedSample", "Views", "evaluation_transform"]
