"""`python -m awfproxy` is `awf`."""

from awfproxy.cli import main

if __name__ == "__main__":
    main()
