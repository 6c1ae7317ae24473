"""The admin address: a process beside the workers that serves the operator's page, `/metrics`, `/live` and `/ready`, and steers
the server over the control socket as any other program does. Here is what the supervisor has of it; what runs in the process is
`site`. It may import all that stands below the supervisor. Begin with `service`, then `site/serving`.
"""
