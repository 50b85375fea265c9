"""Images: reading, preprocessing, and encoding into features."""
