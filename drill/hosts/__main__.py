"""`python -m drill.hosts`."""

from drill.hosts.cli import main

if __name__ == "__main__":
    main(prog_name="python -m drill.hosts")
