"""Sphinx: `python -m sphinx -W docs build/docs` (extra `docs`)."""

project = "jaxcap"
extensions = ["myst_parser"]
# So that a link like `#decoding` finds its heading, as it does on a forge.
myst_heading_anchors = 3
html_theme = "alabaster"
html_theme_options = {"description": "Image captioning with recurrent networks in JAX"}
