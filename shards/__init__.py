"""shards: pictures with counts as verified WebDataset tar shards; the only code that reads or writes the format."""
