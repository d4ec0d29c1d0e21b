"""Metrics of embeddings and predictions.

Shape legend: N images, or rows, M texts, D width, K classes, k neighbours, X shares by name; small
letters are a part of them.
"""
