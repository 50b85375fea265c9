"""Preparation of data: from caption files and photos to a data folder."""
