"""How fast peoria is, as ratios to what else one would use on the same machine: ``python -m benchmarks [NAME ...]``.

Candidates alternate within one run, each in a fresh process with the same malloc variables, and the median of the rounds counts. Figures of
one core are CPU time on one pinned CPU. Each figure has a floor, which fails the run, and an aim.
"""
