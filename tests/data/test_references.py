"""Choosing images, and finding the captions that belong to them."""

import jax
import numpy as np

from jaxcap.data.dataset import choose_images, references_of


def test_images_are_different_and_have_captions(tiny):
    images = choose_images(tiny.train, 4, jax.random.key(0))
    assert len(set(images.tolist())) == 4
    np.testing.assert_array_equal(choose_images(tiny.train, 99, jax.random.key(0)), range(10))
    assert not np.array_equal(images, choose_images(tiny.train, 4, jax.random.key(1)))


def test_references_are_all_of_the_images_captions(tiny):
    images = np.array([7, 2])
    found = references_of(tiny.train, images, tiny.vocabulary)
    for image, sentences in zip(images, found, strict=True):
        rows = np.asarray(tiny.train.captions)[np.asarray(tiny.train.image_idxs) == image]
        assert sentences == [tiny.vocabulary.decode(row) for row in rows]
        assert len(sentences) == 4


def test_an_image_without_captions_has_no_references(tiny):
    assert references_of(tiny.val, np.array([99]), tiny.vocabulary) == [[]]
