"""The same plans over many files on many machines: Ray core actors, each with its models loaded once."""
