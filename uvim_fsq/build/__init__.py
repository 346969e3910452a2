"""From settings to objects: the only package that knows all the others."""
