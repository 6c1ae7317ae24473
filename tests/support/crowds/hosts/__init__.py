"""What is promised of sessions and rooms over several hosts, tried as often as one likes on real ones: `scripts/cluster-walks`.

`places` starts two hosts. `rooms` tries order and joining, `one_id` connections of one id that come at once or one after the
other, `walks` sessions that go from host to host, `lines` the lines of both clients that do, `stopped` a host that
loses its lease. Each raises AssertionError.
"""
