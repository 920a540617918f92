"""`python -m edgecost`, for what starts modules, such as torchrun."""

from edgecost.cli import main

if __name__ == "__main__":
    main()
