"""EfficientNet-Lite in PyTorch, as a reference: for the conversion, a test and a benchmark.

Module names are those of the published weights, so that its state dictionary loads as it is. With
`folded=True` the batch norms are missing and the convolutions have biases, as in the weights that
jaxcap ships.
"""

import torch
from torch import nn

# Kernel, stride of the first, expansion.
STAGES = ((3, 1, 1), (3, 2, 6), (5, 2, 6), (3, 2, 6), (5, 1, 6), (5, 2, 6), (3, 1, 6))
# Repeats and widths.
NETWORKS = {
    "lite0": ((1, 2, 2, 3, 3, 4, 1), (16, 24, 40, 80, 112, 192, 320)),
    "lite2": ((1, 3, 3, 4, 4, 5, 1), (16, 24, 48, 88, 120, 208, 352)),
}


class SameConv2d(nn.Conv2d):
    """A convolution with TensorFlow's SAME padding: the odd row and column come last."""

    def forward(self, x):
        size, stride = self.kernel_size[0], self.stride[0]
        length = x.shape[-1]
        missing = max((-(-length // stride) - 1) * stride + size - length, 0)
        before, after = missing // 2, missing - missing // 2
        if missing:
            x = nn.functional.pad(x, (before, after, before, after))
        return super().forward(x)


def _conv(width_in, width_out, size, *, folded, stride=1, groups=1):
    return SameConv2d(width_in, width_out, size, stride, groups=groups, bias=folded)


def _norm(width, folded):
    return nn.Identity() if folded else nn.BatchNorm2d(width, eps=1e-3)


class Block(nn.Module):
    def __init__(self, size, stride, expand, width_in, width_out, folded):
        super().__init__()
        width = width_in * expand
        self.adds = stride == 1 and width_in == width_out
        self.expands = expand > 1
        if self.expands:
            self._expand_conv = _conv(width_in, width, 1, folded=folded)
            self._bn0 = _norm(width, folded)
        self._depthwise_conv = _conv(width, width, size, folded=folded, stride=stride, groups=width)
        self._bn1 = _norm(width, folded)
        self._project_conv = _conv(width, width_out, 1, folded=folded)
        self._bn2 = _norm(width_out, folded)

    def forward(self, x):
        y = x
        if self.expands:
            y = nn.functional.relu6(self._bn0(self._expand_conv(y)))
        y = nn.functional.relu6(self._bn1(self._depthwise_conv(y)))
        y = self._bn2(self._project_conv(y))
        return x + y if self.adds else y


class EfficientNetLite(nn.Module):
    """(N, 3, 224, 224) to the grid (N, 1280, 7, 7) after the head convolution."""

    def __init__(self, name="lite0", folded=False):
        super().__init__()
        self._conv_stem = _conv(3, 32, 3, folded=folded, stride=2)
        self._bn0 = _norm(32, folded)
        blocks, width_in = [], 32
        for (size, stride, expand), repeats, width in zip(STAGES, *NETWORKS[name], strict=True):
            for index in range(repeats):
                first = stride if index == 0 else 1
                blocks.append(Block(size, first, expand, width_in, width, folded))
                width_in = width
        self._blocks = nn.ModuleList(blocks)
        self._conv_head = _conv(width_in, 1280, 1, folded=folded)
        self._bn1 = _norm(1280, folded)
        self.eval()

    def forward(self, x):
        x = nn.functional.relu6(self._bn0(self._conv_stem(x)))
        for block in self._blocks:
            x = block(x)
        return nn.functional.relu6(self._bn1(self._conv_head(x)))


def convolutions(model):
    """Pair each convolution of the network with its batch norm and its name in jaxcap's file."""
    yield "stem", model._conv_stem, model._bn0
    for index, block in enumerate(model._blocks):
        if block.expands:
            yield f"blocks.{index}.expand", block._expand_conv, block._bn0
        yield f"blocks.{index}.depthwise", block._depthwise_conv, block._bn1
        yield f"blocks.{index}.project", block._project_conv, block._bn2
    yield "head", model._conv_head, model._bn1


def to_jaxcap(weight):
    """Bring a kernel (O, I, k, k) to jaxcap's layout."""
    if weight.shape[-1] == 1:
        return weight[:, :, 0, 0].T
    if weight.shape[1] == 1:
        return weight[:, 0].permute(1, 2, 0)
    return weight.permute(2, 3, 1, 0)


def from_jaxcap(tensors, name="lite0"):
    """Build the folded network from the tensors of jaxcap's weights file.

    Args:
        tensors: NumPy arrays by name, as `jaxcap.vision.efficientnet.parameter_shapes` lists them.
        name: one of `NETWORKS`.
    """
    model = EfficientNetLite(name, folded=True)
    with torch.no_grad():
        for name, convolution, _ in convolutions(model):
            kernel = torch.as_tensor(tensors[f"{name}.kernel"]).float()
            if kernel.ndim == 2:
                kernel = kernel.T[:, :, None, None]
            elif kernel.ndim == 3:
                kernel = kernel.permute(2, 0, 1)[:, None]
            else:
                kernel = kernel.permute(3, 2, 0, 1)
            convolution.weight.copy_(kernel)
            convolution.bias.copy_(torch.as_tensor(tensors[f"{name}.bias"]).float())
    return model
