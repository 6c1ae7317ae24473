"""Peers that may not send as much as they like: `max_frames_per_second`, `max_bytes_per_second`.

It may import `transport`, and nothing there imports it: a shard with such a limit has its transports made here, and one without
has none of this. Begin with `throttle`, which decides; `transport` is the `Transport` that obeys it.
"""
