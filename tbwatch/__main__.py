"""`python -m tbwatch` is the command `tbwatch`."""

from tbwatch.cli import main

raise SystemExit(main())
