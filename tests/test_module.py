import pytest
import torch
from hydra.utils import instantiate

from cyclip_pl import distributed
from cyclip_pl.encoders.dual import DualEncoder
from cyclip_pl.module import ContrastiveModule
from cyclip_pl.objectives.cyclip import CyCLIP
from cyclip_pl.projectors.linear import Linear
from cyclip_pl.types import Batch
from tests.helpers.architectures import VIT
from tests.helpers.composed import composed
from tests.helpers.distributed import run_distributed


def _module() -> ContrastiveModule:
    torch.manual_seed(0)
    config = composed()
    encoder = DualEncoder(VIT, image_size=32)
    return ContrastiveModule(
        encoder,
        Linear(features=encoder.embed_dim, dim=8),
        CyCLIP(),
        instantiate(config.optimizer),
        instantiate(config.scheduler),
    )


def _batch(n=8) -> Batch:
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (1, n, 3, 32, 32), generator=generator).to(torch.uint8)
    texts = torch.randint(1, 400, (1, n, 8), generator=generator)
    texts[..., -1] = 49407
    return Batch(images, texts)


def _gradients(mine: slice) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    module, batch = _module(), _batch()
    batch = Batch(batch.images[:, mine], batch.texts[:, mine])
    loss = module.objective(module.embed(batch))["total"]
    loss.backward()
    return loss.detach(), {n: p.grad for n, p in module.named_parameters()}


def _on_rank():
    n = 8 // distributed.world_size()
    return _gradients(slice(distributed.rank() * n, (distributed.rank() + 1) * n))


@pytest.mark.slow
def test_the_mean_over_ranks_of_every_gradient_is_that_of_one_process() -> None:
    loss, gradients = _gradients(slice(None))
    ranks = run_distributed(_on_rank, 2)
    assert "objective.logit_scale" in gradients
    for rank_loss, _ in ranks:
        torch.testing.assert_close(rank_loss, loss)
    for name, expected in gradients.items():
        mean = (ranks[0][1][name] + ranks[1][1][name]) / 2
        torch.testing.assert_close(mean, expected, rtol=2e-3, atol=1e-5, msg=name)


def test_learnable_scalars_are_clamped_after_each_step(monkeypatch) -> None:
    import lightning as L

    def step(self, *_):
        self.objective.logit_scale.data.fill_(9.0)

    monkeypatch.setattr(L.LightningModule, "optimizer_step", step)
    module = _module()
    module.optimizer_step()
    assert module.objective.scale.item() == pytest.approx(100, rel=1e-5)


@pytest.mark.parametrize("microbatch", [None, 3])
def test_an_objective_sees_which_captions_are_equal(microbatch) -> None:
    module, batch = _module(), _batch()
    module.microbatch = microbatch
    assert module.embed(batch).caption_ids is None
    batch.caption_ids = torch.tensor([[2**62 - n // 2 for n in range(8)]])
    rows = module.embed(batch.to("cpu"))
    assert torch.equal(rows.caption_ids, batch.caption_ids)
