"""The notebook's step in NumPy: loops over time, layer by layer, then Adam."""

import numpy as np

from contenders.setting import LEARNING_RATE, NULL, Run, Setting


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def lstm_forward(x, h, Wx, Wh, b):
    """Hidden states (N, T, H), and what the backward pass reads of each step."""
    c = np.zeros_like(h)
    states, saved = [], []
    for t in range(x.shape[1]):
        i, f, o, g = np.split(x[:, t] @ Wx + h @ Wh + b, 4, axis=1)
        i, f, o, g = sigmoid(i), sigmoid(f), sigmoid(o), np.tanh(g)
        before = h, c
        c = f * c + i * g
        tanh_c = np.tanh(c)
        h = o * tanh_c
        states.append(h)
        saved.append((before, i, f, o, g, tanh_c))
    return np.stack(states, axis=1), saved


def lstm_backward(dout, saved, x, Wx, Wh):
    """Gradients of x, h0, Wx, Wh and b."""
    dx, dWx, dWh, db = np.empty_like(x), np.zeros_like(Wx), np.zeros_like(Wh), 0
    dh = dc = np.zeros_like(dout[:, 0])
    for t in reversed(range(x.shape[1])):
        (h, c), i, f, o, g, tanh_c = saved[t]
        dh = dh + dout[:, t]
        dc = dc + dh * o * (1 - tanh_c**2)
        da = np.concatenate(
            [
                dc * g * i * (1 - i),
                dc * c * f * (1 - f),
                dh * tanh_c * o * (1 - o),
                dc * i * (1 - g**2),
            ],
            axis=1,
        )
        dx[:, t] = da @ Wx.T
        dWx += x[:, t].T @ da
        dWh += h.T @ da
        db = db + da.sum(0)
        dh, dc = da @ Wh.T, dc * f
    return dx, dh, dWx, dWh, db


def rnn_forward(x, h, Wx, Wh, b):
    states, saved = [], []
    for t in range(x.shape[1]):
        before = h
        h = np.tanh(x[:, t] @ Wx + h @ Wh + b)
        states.append(h)
        saved.append((before, h))
    return np.stack(states, axis=1), saved


def rnn_backward(dout, saved, x, Wx, Wh):
    dx, dWx, dWh, db = np.empty_like(x), np.zeros_like(Wx), np.zeros_like(Wh), 0
    dh = np.zeros_like(dout[:, 0])
    for t in reversed(range(x.shape[1])):
        before, h = saved[t]
        da = (dh + dout[:, t]) * (1 - h**2)
        dx[:, t] = da @ Wx.T
        dWx += x[:, t].T @ da
        dWh += before.T @ da
        db = db + da.sum(0)
        dh = da @ Wh.T
    return dx, dh, dWx, dWh, db


def loss_and_gradients(cell, p, features, captions):
    words, targets = captions[:, :-1], captions[:, 1:]
    forward, backward = (
        (lstm_forward, lstm_backward) if cell == "lstm" else (rnn_forward, rnn_backward)
    )
    h0 = features @ p["W_proj"] + p["b_proj"]
    x = p["W_embed"][words]
    h, saved = forward(x, h0, p["Wx"], p["Wh"], p["b"])
    rows = h.reshape(-1, h.shape[2])
    logits = rows @ p["W_vocab"] + p["b_vocab"]

    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities = exponentials / exponentials.sum(axis=1, keepdims=True)
    flat = targets.ravel()
    real = flat != NULL
    at = np.arange(len(flat)), flat
    loss = -(np.log(probabilities[at]) * real).sum() / len(captions)

    dlogits = probabilities
    dlogits[at] -= 1
    dlogits *= real[:, None] / np.float32(len(captions))
    dh = (dlogits @ p["W_vocab"].T).reshape(h.shape)
    dx, dh0, dWx, dWh, db = backward(dh, saved, x, p["Wx"], p["Wh"])
    dembed = np.zeros_like(p["W_embed"])
    np.add.at(dembed, words, dx)
    return loss, {
        "W_proj": features.T @ dh0,
        "b_proj": dh0.sum(0),
        "W_embed": dembed,
        "Wx": dWx,
        "Wh": dWh,
        "b": db,
        "W_vocab": rows.T @ dlogits,
        "b_vocab": dlogits.sum(0),
    }


def make(setting: Setting, params, features, captions) -> Run:
    params = {name: value.copy() for name, value in params.items()}
    first = {name: np.zeros_like(value) for name, value in params.items()}
    second = {name: np.zeros_like(value) for name, value in params.items()}
    count = 0

    def run(steps: int) -> float:
        nonlocal count
        for _ in range(steps):
            loss, grads = loss_and_gradients(setting.cell, params, features, captions)
            count += 1
            for name, gradient in grads.items():
                m, v = first[name], second[name]
                m += 0.1 * (gradient - m)
                v += 0.001 * (gradient * gradient - v)
                scale = LEARNING_RATE * (1 - 0.999**count) ** 0.5 / (1 - 0.9**count)
                params[name] -= scale * m / (np.sqrt(v) + 1e-8)
        return float(loss)

    return run
