"""`python -m wspulse ...` is `wspulse ...`."""

from wspulse.supervisor.cli import main

raise SystemExit(main())
