"""python -m isoclr: the command line."""

import sys

from isoclr.cli import main

if __name__ == "__main__":
    sys.exit(main())
