"""Text of captions: tokenizer, vocabulary, word counts."""
