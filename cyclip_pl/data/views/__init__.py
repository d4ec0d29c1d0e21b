"""Views: what of a sample the model is shown. One file an idea."""

from cyclip_pl.data.views.evaluation import evaluation_transform
from cyclip_pl.data.views.interface import ViewedSample, Views

__all__ = ["ViewedSample", "Views", "evaluation_transform"]
