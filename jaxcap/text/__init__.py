"""Captions as words: vocabulary, tokenizer, word counts."""
