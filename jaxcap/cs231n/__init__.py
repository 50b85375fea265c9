"""The names that the course notebooks import from `cs231n`, on top of jaxcap.

A notebook of one's own runs when `from cs231n.` becomes `from jaxcap.cs231n.`. Arrays are NumPy's
on both sides, float64 in and float64 out, so that the notebook's checks print its digits; `cache`
holds what a backward function needs and is not to be looked into. There is no mathematics here but
the difference quotient of `gradient_check`: everything else is called from the rest of jaxcap.

Random numbers come from NumPy's global generator, as in the course's code, and so follow
`np.random.seed`: the initial parameters of `CaptioningRNN`, the captions that `load_coco_data`
keeps under `max_train`, and the minibatches of `sample_coco_minibatch`.
"""
