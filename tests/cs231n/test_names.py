"""What a notebook's imports bring, under the course's own package name too."""

import subprocess
import sys

import pytest
from command_calls import ROOT

ALIAS = """
import sys, jaxcap.cs231n
sys.modules["cs231n"] = jaxcap.cs231n

from cs231n.gradient_check import eval_numerical_gradient, eval_numerical_gradient_array
from cs231n.rnn_layers import *
from cs231n.layers import *
from cs231n.captioning_solver import CaptioningSolver
from cs231n.classifiers.rnn import CaptioningRNN
from cs231n.coco_utils import load_coco_data, sample_coco_minibatch, decode_captions
from cs231n.image_utils import image_from_url
from cs231n import optim
import cs231n.classifiers.rnn, cs231n.optim
import jaxcap.cs231n.classifiers.rnn

# One module under both names, so that a rule put into it is found.
optim.mine = lambda w, dw, config: (w, config)
model = CaptioningRNN({"<NULL>": 0}, 2, 2, 2)
assert CaptioningSolver(model, {}, update_rule="mine").update_rule is optim.mine
assert jaxcap.cs231n.classifiers.rnn.CaptioningRNN is CaptioningRNN
assert sys.modules["cs231n.optim"] is sys.modules["jaxcap.cs231n.optim"]
assert optim.__spec__.name == "jaxcap.cs231n.optim"
try:
    import cs231n.fast_layers
except ModuleNotFoundError as error:
    assert "cs231n.fast_layers" in str(error)
print(np.tanh(0.0), affine_forward.__module__)
"""


def test_imports_under_the_name_of_the_course():
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", ALIAS], cwd=ROOT, capture_output=True, text=True
    )
    assert (ran.stdout, ran.stderr) == ("0.0 jaxcap.cs231n.layers\n", "")


@pytest.mark.parametrize(
    ("module", "names"),
    [
        ("rnn_layers", "np affine_forward affine_backward lstm_step_forward temporal_softmax_loss"),
        ("layers", "np affine_forward affine_backward relu_forward relu_backward"),
        ("coco_utils", "np BASE_DIR load_coco_data sample_coco_minibatch decode_captions"),
    ],
)
def test_a_star_brings_the_courses_names_and_not_ours(module, names):
    scope = {}
    exec(f"from jaxcap.cs231n.{module} import *", scope)
    assert set(names.split()) <= scope.keys()
    assert not scope.keys() & {"jax", "partial", "Any", "Path", "Array", "layer", "os"}


def test_without_pytorch_one_sentence_says_so():
    code = "import sys; sys.modules['torch'] = None; import jaxcap.cs231n.rnn_layers_pytorch"
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert ran.stderr.splitlines()[-1] == (
        "ImportError: the notebook of 2025 needs PyTorch, which is not installed: pip install torch"
    )
