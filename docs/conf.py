"""Sphinx: `python -m sphinx -W docs build/docs` (extra `docs`)."""

project = "jaxcap"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
# Annotations name axes, which are no Python types to link to; docstrings give the shapes.
autodoc_typehints = "none"
default_role = "literal"
# So that a link like `#decoding` finds its heading, as it does on a forge.
myst_heading_anchors = 3
html_theme = "alabaster"
html_theme_options = {"description": "Image captioning with recurrent networks in JAX"}
# Classes of other packages, and of modules that `api.md` leaves out, have no page to link to.
nitpick_ignore_regex = [("py:(class|exc)", ".*")]
