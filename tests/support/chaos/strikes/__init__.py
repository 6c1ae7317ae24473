"""What is done to a server under its crowd.

Each strike is a coroutine with a `Stage` that raises AssertionError where the contract does not hold, and tells the stage what it
saw. Begin with `wellness`; `rows`, above, says what is promised of each.
"""
