"""Readers of caption files, one module for each family of formats."""
