"""The training loop of the notebook of 2025, by PyTorch's Adam."""

from typing import Any

from jaxcap.cs231n.captioning_solver import Solver
from jaxcap.cs231n.coco_utils import sample_coco_minibatch
from jaxcap.cs231n.tensors import torch


class CaptioningSolverPytorch(Solver):
    """Trains a captioner with PyTorch's parameters on minibatches drawn with replacement.

    After `train()` the `params` of the model are those of the last iteration, and `loss_history`
    holds the loss of each minibatch. Another call of `train()` continues training.

    Args:
        model: the model to train, with tensors `params` and `loss(features, captions)`, a tensor.
        data: data from `load_coco_data`.
        learning_rate: learning rate of `torch.optim.Adam`.
        batch_size: captions in a minibatch.
        num_epochs: passes over the training captions, each of at least one minibatch.
        print_every: iterations between printed losses.
        verbose: print losses.
    """

    def __init__(
        self,
        model: Any,
        data: dict[str, Any],
        *,
        learning_rate: float = 1e-3,
        batch_size: int = 100,
        num_epochs: int = 10,
        print_every: int = 10,
        verbose: bool = True,
    ):
        self.learning_rate = learning_rate
        self.optim = torch.optim.Adam(list(model.params.values()), learning_rate)
        super().__init__(model, data, batch_size, num_epochs, print_every, verbose)

    def train(self) -> None:
        """Run `num_epochs` epochs; the parameters require gradients only meanwhile."""
        for value in self.model.params.values():
            value.requires_grad_()
        try:
            super().train()
        finally:
            for value in self.model.params.values():
                value.requires_grad_(False)

    def _step(self) -> None:
        captions, features, _ = sample_coco_minibatch(self.data, self.batch_size, "train")
        loss = self.model.loss(torch.from_numpy(features), torch.from_numpy(captions).long())
        self.optim.zero_grad()
        loss.backward()
        self.optim.step()
        self.loss_history.append(loss.detach().numpy()[()])
