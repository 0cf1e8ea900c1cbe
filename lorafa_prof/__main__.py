"""``python -m lorafa_prof``: the command line without an installed script."""

from lorafa_prof.cli.main import main

if __name__ == "__main__":
    main()
