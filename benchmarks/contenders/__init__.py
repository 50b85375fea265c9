"""The notebook's train step by several libraries, from the same weights on the same minibatch.

Each module's `make(setting, params, features, captions)` gives a function that takes so many steps
and returns the loss before the last of them, in nats per caption.
"""
