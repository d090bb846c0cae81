"""Pre-trained networks: their weights, how they are frozen and made fast, and the cache of their features."""
