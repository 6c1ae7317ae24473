from wspulse.supervisor.cli import serve

raise SystemExit(serve())
