"""Can the sweep find what was planted?

Question   4,000 made pictures whose popularity lies partly in their colour, partly in their arrangement: does a network find both?
Command    make demo, or: peoria sweep sweeps/demo.py && peoria report demo
Cost       about 4 minutes on 2 CPU cores
Result     see README.md
"""

import peoria
from peoria.demo import SWEEP

if __name__ == "__main__":
    peoria.main(SWEEP)
