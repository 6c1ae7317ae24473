"""What both clients, `wspulse.js` and `wspulse.client`, do against a server that plays a script: see README.md."""
