"""What `jaxcap.prepare` does: caption files and photos in, a data folder out."""
