"""A real one-node cluster, the images that run on it, and what is run there."""
