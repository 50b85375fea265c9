"""The names that the course notebooks import from `cs231n`, implemented by jaxcap.

Your notebook runs after you replace `from cs231n.` by `from jaxcap.cs231n.`, or after this line,
which spares you that:

    import sys, jaxcap.cs231n; sys.modules["cs231n"] = jaxcap.cs231n

Functions take and return NumPy arrays, float64 in and float64 out, so the checks of the notebook
print its digits. A `cache` holds what a backward function needs; its contents are private. All
mathematics is in the rest of jaxcap, except the difference quotient of `gradient_check`. The
modules whose names end in `_pytorch`, of the notebook of 2025, take and return PyTorch's tensors.

Random numbers come from NumPy's global generator, as in the code of the course, and so follow
`np.random.seed`. They are the initial parameters of `CaptioningRNN`, the captions that
`load_coco_data` keeps with `max_train`, and the minibatches of `sample_coco_minibatch`. The initial
parameters of `rnn_pytorch.CaptioningRNN` come from PyTorch's generator.
"""

import importlib
import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import Any


class _Alias(MetaPathFinder, Loader):
    """Gives `cs231n.NAME` as `jaxcap.cs231n.NAME` where `sys.modules` has this package as `cs231n`.

    Python by itself would load each module a second time, and an update rule that you put into
    `cs231n.optim` would not be in the `optim` that the solver reads.
    """

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> ModuleSpec | None:
        ours = sys.modules.get("cs231n") is sys.modules[__name__]
        if ours and fullname.startswith("cs231n.") and find_spec(f"jaxcap.{fullname}"):
            return ModuleSpec(fullname, self)
        return None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = importlib.import_module(f"jaxcap.{spec.name}")
        spec.loader_state = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        # The module ran under its own name, and keeps its own spec.
        assert module.__spec__ is not None
        module.__spec__ = module.__spec__.loader_state


sys.meta_path.insert(0, _Alias())
