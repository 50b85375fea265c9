"""The names that the course notebooks import from `cs231n`, implemented by jaxcap.

Your notebook runs after you replace `from cs231n.` by `from jaxcap.cs231n.`. Functions take and
return NumPy arrays, float64 in and float64 out, so the checks of the notebook print its digits. A
`cache` holds what a backward function needs; its contents are private. All mathematics is in the
rest of jaxcap, except the difference quotient of `gradient_check`.

Random numbers come from NumPy's global generator, as in the code of the course, and so follow
`np.random.seed`. They are the initial parameters of `CaptioningRNN`, the captions that
`load_coco_data` keeps with `max_train`, and the minibatches of `sample_coco_minibatch`.
"""
