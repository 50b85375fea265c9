"""Maps of captions against those of the words that were chosen, alone and in ensembles."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from draws import normal, parameters

from jaxcap.data.image import Image
from jaxcap.decoding.beam import Beam
from jaxcap.decoding.captions import Captioner, caption_images
from jaxcap.decoding.rules import Rules
from jaxcap.decoding.word_by_word import Greedy
from jaxcap.decoding.word_maps import caption_with_maps
from jaxcap.nn.config import CaptionerConfig
from jaxcap.nn.inspect import attention_maps
from jaxcap.text.vocabulary import Vocabulary

N, L, C, D = 3, 6, 4, 3
WORDS = Vocabulary.build([f"w{i}" for i in range(9)])
IMAGE = Image(normal(1, (N, D)), normal(2, (N, L, C)), jnp.ones((N, L), bool).at[0, 3:].set(False))


def captioner(scale, **changes):
    config = CaptionerConfig(len(WORDS), D, 5, 8, **changes)
    params = jax.tree.map(lambda x: scale * x, parameters(config))
    params["b_vocab"] = params["b_vocab"].at[WORDS.end].set(-4.0)
    return Captioner(params, config, WORDS)


@pytest.mark.parametrize("strategy", [Beam(3), Greedy()])
def test_a_map_is_that_of_the_choice_of_its_word(strategy):
    """And the captions are those that are written without maps."""
    looking = [captioner(scale, attention="soft", grid_dim=C) for scale in (2.0, 3.0)]
    each = [*looking, captioner(2.0)]
    rules = Rules.of(WORDS, max_length=5)
    found = caption_with_maps(each, IMAGE, strategy, rules=rules)
    plain = caption_images(each, IMAGE, strategy, rules=rules)
    assert [(c.sentence, c.nats) for c in found] == [(c.sentence, c.nats) for c in plain]
    for row, caption in enumerate(found):
        words, maps = caption.maps
        assert " ".join(words) == caption.sentence and maps.shape == (len(words), L)
        read = jnp.array([[WORDS.start, *(WORDS.word_to_idx[word] for word in words[:-1])]])
        image = IMAGE.at(jnp.array([row]))
        own = [attention_maps(one.params, one.config, image, read)[0] for one in looking]
        np.testing.assert_allclose(maps, np.mean(own, axis=0), rtol=1e-4, atol=1e-6)
    assert (found[0].maps.maps[:, 3:] == 0).all() and len(found[0].maps.words) > 1


def test_captioners_that_do_not_attend_have_none():
    with pytest.raises(ValueError, match="does not attend, so it has no maps: train one with"):
        caption_with_maps([captioner(1.0)], IMAGE)
