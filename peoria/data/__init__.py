"""Train and val as networks see them: images, targets, filters, subsets, controls, made pictures."""
