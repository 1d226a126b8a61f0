"""`python -m daraja_simulator`."""

import sys

from daraja_simulator.cli import main

if __name__ == "__main__":
    sys.exit(main())
