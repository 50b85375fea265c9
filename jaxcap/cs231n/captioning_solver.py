"""The course's training loop over a `CaptioningRNN`."""

from collections.abc import Callable
from typing import Any

from jaxcap.cs231n import optim
from jaxcap.cs231n.coco_utils import sample_coco_minibatch


class Solver:
    """Loop over minibatches drawn with replacement, one `_step` for each.

    `CaptioningSolver` and `CaptioningSolverPytorch` say what the arguments are.
    """

    def __init__(
        self,
        model: Any,
        data: dict[str, Any],
        batch_size: int,
        num_epochs: int,
        print_every: int,
        verbose: bool,
    ):
        self.model = model
        self.data = data
        self.batch_size = batch_size
        self.num_epochs = num_epochs
        self.print_every = print_every
        self.verbose = verbose
        self._reset()

    def _reset(self) -> None:
        """Forget the training so far, but not the parameters of the model."""
        self.epoch = 0
        self.loss_history: list[Any] = []

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
                self._end_epoch()

    def _end_epoch(self) -> None:
        self.epoch += 1

    def _step(self) -> None:
        raise NotImplementedError


class CaptioningSolver(Solver):
    """Trains a captioner on minibatches drawn with replacement.

    After `train()` the `params` of the model are those of the last iteration, and `loss_history`
    holds the loss of each minibatch. Another call of `train()` continues training. As in the
    course, nothing measures accuracy: `check_accuracy` gives 0, and `best_val_acc`, `best_params`,
    `train_acc_history` and `val_acc_history` stay as they are at the start.

    Args:
        model: the model to train, with `params` and `loss(features, captions)`.
        data: data from `load_coco_data`.
        update_rule: name of a rule of `jaxcap.cs231n.optim`, or a rule: a function
            `rule(w, dw, config) -> next_w, config`. Your own rule also goes by name once you have
            put it into `optim`.
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
        model: Any,
        data: dict[str, Any],
        *,
        update_rule: str | Callable[..., Any] = "sgd",
        optim_config: dict[str, Any] | None = None,
        lr_decay: float = 1.0,
        batch_size: int = 100,
        num_epochs: int = 10,
        print_every: int = 10,
        verbose: bool = True,
    ):
        rule = getattr(optim, update_rule, None) if isinstance(update_rule, str) else update_rule
        if not callable(rule):
            raise ValueError(
                f"`update_rule` must be one of {', '.join(optim.RULES)}, or a function of your "
                f"own, or the name of one that you put into `optim`; got {update_rule!r}"
            )
        self.update_rule: Callable[..., Any] = rule
        self.optim_config = dict(optim_config or {})
        self.lr_decay = lr_decay
        super().__init__(model, data, batch_size, num_epochs, print_every, verbose)

    def _reset(self) -> None:
        super()._reset()
        self.best_val_acc = 0
        self.best_params: dict[str, Any] = {}
        self.train_acc_history: list[float] = []
        self.val_acc_history: list[float] = []
        self.optim_configs = {name: dict(self.optim_config) for name in self.model.params}

    def check_accuracy(
        self, X: Any, y: Any, num_samples: int | None = None, batch_size: int = 100
    ) -> float:
        """Return 0, as in the course, whose captions have no accuracy."""
        return 0.0

    def _end_epoch(self) -> None:
        super()._end_epoch()
        for config in self.optim_configs.values():
            # Your own rule may have no learning rate.
            if "learning_rate" in config:
                config["learning_rate"] *= self.lr_decay

    def _step(self) -> None:
        captions, features, _ = sample_coco_minibatch(self.data, self.batch_size, "train")
        loss, grads = self.model.loss(features, captions)
        self.loss_history.append(loss)
        for name, value in self.model.params.items():
            self.model.params[name], self.optim_configs[name] = self.update_rule(
                value, grads[name], self.optim_configs[name]
            )
