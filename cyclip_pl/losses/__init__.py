"""Pure functions of tensors, one idea per file.

    image, text = (normalize(torch.randn(8, 512), dim=-1) for _ in range(2))
    in_modal, cross_modal = consistency_terms(image, text)
    loss = contrastive_loss(image, text, scale=1 / 0.07) + 0.25 * (in_modal + cross_modal)

Under an initialised process group each function takes the n rows of its rank, n equal on all ranks,
and returns the *global* loss, a scalar, on every rank. The arithmetic is float32 at least, with or
without autocast: a similarity of 0.99 times a scale of 100 has no digits left in bfloat16.
Shapes that do not fit each other, or an unknown form, raise ValueError.

Shape legend: V, U image and text views, n samples of this rank, N samples of all ranks, D width of
the embeddings, K clusters, S width of the self-supervised head.
"""
