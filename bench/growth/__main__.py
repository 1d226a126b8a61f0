"""`python -m bench.growth`."""

from bench.growth.cli import main

if __name__ == "__main__":
    main(prog_name="python -m bench.growth")
