"""Reading and writing files safely; nothing here knows of captions."""
