import torch

from cyclip_pl.data.views.parameters import LEGEND, Parameters, vectors


def test_the_legend_names_the_entries_in_their_order() -> None:
    assert len(LEGEND) == 12
    made = [Parameters(), *(Parameters(**{name: 0.5}) for name in LEGEND)]
    expected = torch.cat([torch.zeros(1, 12), 0.5 * torch.eye(12)])
    assert vectors(made).dtype == torch.float32
    assert torch.equal(vectors(made), expected)
