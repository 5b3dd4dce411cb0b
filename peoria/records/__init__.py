"""A sweep's folder: its format, and the only code that reads or writes it.

schema: the files as models. folder: where they lie. trials: trials, read. points: curves. val_scores: scores of val. selection: who won.
"""
