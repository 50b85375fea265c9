"""The captioner in PyTorch: `nn.LSTM`, `nn.Embedding`, cross-entropy, fused Adam.

Padded captions are computed to the end and left out of the loss; packed ones are computed as far as
they go, the vocabulary layer included. `nn.LSTM` has a second bias, which starts at zero.
"""

import numpy as np
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

from contenders.setting import LEARNING_RATE, NULL, Run, Setting


class TorchCaptioner(nn.Module):
    def __init__(self, setting: Setting, *, packed: bool = False) -> None:
        super().__init__()
        self.packed = packed
        self.project = nn.Linear(setting.D, setting.H)
        self.embed = nn.Embedding(setting.V, setting.W)
        kind = nn.LSTM if setting.cell == "lstm" else nn.RNN
        self.recurrent = kind(setting.W, setting.H, batch_first=True)
        self.vocab = nn.Linear(setting.H, setting.V)

    def forward(
        self, features: torch.Tensor, captions: torch.Tensor, lengths: torch.Tensor
    ) -> torch.Tensor:
        h0 = self.project(features)[None]
        state = (h0, torch.zeros_like(h0)) if isinstance(self.recurrent, nn.LSTM) else h0
        x, targets = self.embed(captions[:, :-1]), captions[:, 1:]
        if self.packed:
            x = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
            targets = pack_padded_sequence(
                targets, lengths, batch_first=True, enforce_sorted=False
            ).data
        h = self.recurrent(x, state)[0]
        logits = self.vocab(h.data if self.packed else h.flatten(0, 1))
        nats = nn.functional.cross_entropy(
            logits, targets.flatten(), ignore_index=NULL, reduction="sum"
        )
        return nats / len(captions)


def load(model: TorchCaptioner, params: dict[str, np.ndarray]) -> None:
    """Copy the weights; PyTorch has the gates in the order i, f, g, o."""
    H = model.recurrent.hidden_size
    order = np.arange(H)
    if isinstance(model.recurrent, nn.LSTM):
        order = np.concatenate([np.arange(H) + H * gate for gate in (0, 1, 3, 2)])
    for parameter, value in (
        (model.project.weight, params["W_proj"].T),
        (model.project.bias, params["b_proj"]),
        (model.embed.weight, params["W_embed"]),
        (model.recurrent.weight_ih_l0, params["Wx"].T[order]),
        (model.recurrent.weight_hh_l0, params["Wh"].T[order]),
        (model.recurrent.bias_ih_l0, params["b"][order]),
        (model.recurrent.bias_hh_l0, np.zeros_like(params["b"])),
        (model.vocab.weight, params["W_vocab"].T),
        (model.vocab.bias, params["b_vocab"]),
    ):
        parameter.data.copy_(torch.from_numpy(np.ascontiguousarray(value)))


def make(
    setting: Setting,
    params,
    features,
    captions,
    *,
    packed: bool = False,
    compiled: bool = False,
    bfloat16: bool = False,
) -> Run:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = TorchCaptioner(setting, packed=packed)
    load(model, params)
    model.to(device)
    forward = torch.compile(model) if compiled else model
    adam = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE, fused=True)
    x = torch.from_numpy(features).to(device)
    words = torch.from_numpy(captions).long().to(device)
    # Packing wants the lengths on the host.
    lengths = torch.from_numpy((captions[:, 1:] != NULL).sum(1))

    def run(steps: int) -> float:
        for _ in range(steps):
            adam.zero_grad()
            with torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
                loss = forward(x, words, lengths)
            loss.backward()
            adam.step()
        return loss.item()

    return run
