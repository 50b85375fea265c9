"""The course's training loop over a `CaptioningRNN`."""

from typing import Any

from jaxcap.cs231n.classifiers.rnn import CaptioningRNN
from jaxcap.cs231n.coco_utils import sample_coco_minibatch
from jaxcap.cs231n.optim import RULES


class CaptioningSolver:
    """Trains a captioner on minibatches drawn with replacement.

    After `train()` the `params` of the model are those of the last iteration, and `loss_history`
    holds the loss of each minibatch. Another call of `train()` continues training.

    Args:
        model: the model to train, with `params` and `loss(features, captions)`.
        data: data from `load_coco_data`.
        update_rule: name of a rule of `jaxcap.cs231n.optim`.
        optim_config: settings of the rule, such as `learning_rate`.
        lr_decay: factor on the learning rate after every epoch.
        batch_size: captions in a minibatch.
        num_epochs: passes over the training captions, each of at least one minibatch.
        print_every: iterations between printed losses.
        verbose: print losses.

    Raises:
        ValueError: there is no such rule.
    """

    def __init__(
        self,
        model: CaptioningRNN,
        data: dict[str, Any],
        *,
        update_rule: str = "sgd",
        optim_config: dict[str, Any] | None = None,
        lr_decay: float = 1.0,
        batch_size: int = 100,
        num_epochs: int = 10,
        print_every: int = 10,
        verbose: bool = True,
    ):
        if update_rule not in RULES:
            raise ValueError(
                f"`update_rule` must be one of {', '.join(RULES)}, got {update_rule!r}"
            )
        self.model = model
        self.data = data
        self.update_rule = RULES[update_rule]
        self.optim_config = dict(optim_config or {})
        self.lr_decay = lr_decay
        self.batch_size = batch_size
        self.num_epochs = num_epochs
        self.print_every = print_every
        self.verbose = verbose
        self.epoch = 0
        self.loss_history: list[float] = []
        self.optim_configs = {name: dict(self.optim_config) for name in model.params}

    def train(self) -> None:
        """Run `num_epochs` epochs."""
        num_train = len(self.data["train_captions"])
        iterations_per_epoch = max(num_train // self.batch_size, 1)
        num_iterations = self.num_epochs * iterations_per_epoch
        for t in range(num_iterations):
            self._step()
            if self.verbose and t % self.print_every == 0:
                loss = self.loss_history[-1]
                print(f"(Iteration {t + 1} / {num_iterations}) loss: {loss:f}")
            if (t + 1) % iterations_per_epoch == 0:
                self.epoch += 1
                for config in self.optim_configs.values():
                    config["learning_rate"] *= self.lr_decay

    def _step(self) -> None:
        captions, features, _ = sample_coco_minibatch(self.data, self.batch_size, "train")
        loss, grads = self.model.loss(features, captions)
        self.loss_history.append(loss)
        for name, value in self.model.params.items():
            self.model.params[name], self.optim_configs[name] = self.update_rule(
                value, grads[name], self.optim_configs[name]
            )
