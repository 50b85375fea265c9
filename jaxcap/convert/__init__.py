"""Import and export of parameters: NumPy dictionaries, npz files and PyTorch.

    params, config = from_numpy("model.npz")        # or the dictionary of a notebook's model
    params, config = from_torch("model.safetensors", TorchLayers(recurrent="decoder.lstm"))
    model.load_state_dict({name: torch.as_tensor(x) for name, x in to_torch(params).items()})

Axes: D features, W word vector, H hidden, V words; G is H for the RNN and 4H for the LSTM. Arrays
under the notebook's names are used unchanged. PyTorch stores weights transposed, the gates of the
LSTM in the order i, f, g, o (here i, f, o, g), and two biases, which are added:

    Wx = weight_ih_l0.T     Wh = weight_hh_l0.T     b = bias_ih_l0 + bias_hh_l0

The sizes come from the shapes. Every array is checked before use, and no pickle is read. PyTorch is
not needed.
"""

from jaxcap.convert.numpy_arrays import from_numpy, to_npz
from jaxcap.convert.torch_layers import TorchLayers, from_torch, to_safetensors, to_torch

__all__ = ["TorchLayers", "from_numpy", "from_torch", "to_npz", "to_safetensors", "to_torch"]
