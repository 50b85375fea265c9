#!/usr/bin/env bash
# onnx: the reference evaluator passes over parts of an LSTM that onnxruntime honours.
#
# Guess before running: the reference evaluator computes what the specification of the operator says, or
# raises where it does not know an attribute.
# Seen: clip, input_forget, activations and sequence_lens change nothing in it; onnxruntime honours each.
# The model passes the checker, neither warns, and they agree on the plain LSTM.
# Common expectation: the evaluator named "reference" is what another reading of a model is tested against.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q onnx==1.23.2 onnxruntime==1.32.0 numpy==2.4.6
"$work/venv/bin/python" - <<'P'
import numpy as np
import onnxruntime
from onnx import TensorProto, checker, helper
from onnx.reference import ReferenceEvaluator

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


def hidden(made):
    """The last hidden states, by onnx and by onnxruntime."""
    session = onnxruntime.InferenceSession(
        made.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return ReferenceEvaluator(made).run(["Yh"], {"X": x})[0], session.run(["Yh"], {"X": x})[0]


plain, same = hidden(model())
assert np.allclose(plain, same, atol=1e-5)
cases = {
    "clip": model(clip=0.5),
    "input_forget": model(input_forget=1),
    "activations": model(activations=["HardSigmoid", "Relu", "Softsign"]),
    "sequence_lens": model(["lengths"]),
}
for name, made in cases.items():
    reference, runtime = hidden(made)
    changed = [not np.allclose(h, plain, atol=1e-3) for h in (reference, runtime)]
    print(f"{name} changes the result: onnx {changed[0]}, onnxruntime {changed[1]}")
    assert changed == [False, True], name
P
# Output:
#   clip changes the result: onnx False, onnxruntime True
#   input_forget changes the result: onnx False, onnxruntime True
#   activations changes the result: onnx False, onnxruntime True
#   sequence_lens changes the result: onnx False, onnxruntime True
