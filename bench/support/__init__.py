"""What the questions of bench/ share: native programs, servers under measurement, rounds, results, the report."""
