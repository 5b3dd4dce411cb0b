"""A sweep's folder: its format, and the only code that reads or writes it.

schema: the files as models. folder: where they lie. trials: trials, read. points: curves. selection: who won.
val_scores: scores of val. arrays: arrays read without trust. whole: whether scores and baselines are
those that were written.
"""
