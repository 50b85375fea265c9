#!/usr/bin/env bash
# OpenVINO: peepholes, input_forget and layout of an ONNX LSTM are dropped.
#
# Guess before running: what the reader of ONNX files cannot translate is refused when the model is read.
# Seen: an LSTM with peepholes and one with input_forget give the numbers of the plain LSTM. With layout=1
# the batch is taken for time: states of shape (1, 4, 2) come out where (2, 1, 2) is right. No warning.
# onnxruntime honours the first two and refuses layout=1. OpenVINO does refuse other activations.
# Common expectation: a model that compiles computes what it says.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q onnx==1.23.2 onnxruntime==1.32.0 openvino==2026.4.1 numpy==2.4.6
"$work/venv/bin/python" - <<'P'
import numpy as np
import onnxruntime, openvino
from onnx import TensorProto, checker, helper

T, N, D, H = 4, 2, 3, 2
rng = np.random.default_rng(0)
shapes = {"W": (1, 4 * H, D), "R": (1, 4 * H, H), "B": (1, 8 * H), "P": (1, 3 * H)}
arrays = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
x = rng.normal(size=(T, N, D)).astype(np.float32)
lengths = np.array([2, 4], np.int32)


def model(inputs=(), **attributes):
    names = ["X", "W", "R", "B", *inputs]
    node = helper.make_node("LSTM", names, ["Y", "Yh", "Yc"], hidden_size=H, **attributes)
    constants = [
        helper.make_tensor(name, TensorProto.FLOAT, a.shape, a.ravel())
        for name, a in arrays.items()
        if name in names
    ]
    if "lengths" in names:
        constants.append(helper.make_tensor("lengths", TensorProto.INT32, (N,), lengths))
    given = [helper.make_tensor_value_info("X", TensorProto.FLOAT, ["a", "b", D])]
    wanted = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, list(axes))
        for name, axes in (("Y", "cdef"), ("Yh", "ghi"), ("Yc", "ghi"))
    ]
    graph = helper.make_graph([node], "lstm", given, wanted, constants)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    checker.check_model(made, full_check=True)
    return made


def by_openvino(made, x=x):
    core = openvino.Core()
    precise = {"INFERENCE_PRECISION_HINT": "f32"}
    return core.compile_model(core.read_model(made.SerializeToString(), b""), "CPU", precise)(x)[1]


def by_onnxruntime(made):
    session = onnxruntime.InferenceSession(
        made.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(["Yh"], {"X": x})[0]


plain = by_openvino(model())
assert np.allclose(plain, by_onnxruntime(model()), atol=1e-4)
for name, made in {
    "peepholes": model(["", "", "", "P"]),
    "input_forget": model(input_forget=1),
}.items():
    states = by_openvino(made), by_onnxruntime(made)
    changed = [not np.allclose(h, plain, atol=1e-3) for h in states]
    print(f"{name} changes the result: OpenVINO {changed[0]}, onnxruntime {changed[1]}")
    assert changed == [False, True], name
shape = by_openvino(model(layout=1), x.transpose(1, 0, 2).copy()).shape
print("layout=1, N=2, T=4, H=2: states of shape", shape)
assert shape == (1, 4, 2)
P
# Output:
#   peepholes changes the result: OpenVINO False, onnxruntime True
#   input_forget changes the result: OpenVINO False, onnxruntime True
#   layout=1, N=2, T=4, H=2: states of shape (1, 4, 2)
