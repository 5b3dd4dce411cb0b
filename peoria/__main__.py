"""``python -m peoria`` is ``peoria``."""

from peoria.cli import main

if __name__ == "__main__":
    main()
