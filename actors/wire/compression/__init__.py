"""permessage-deflate (RFC 7692): messages that come and go compressed, where the client offers it and the server has the option.

It may import `values` and what stands beside it in `wire`. Begin with `agreement`, what a client offers and is answered; then
`inflating_parser` for what comes and `deflater` for what goes. Neither side keeps a context between two messages, so that a
transport can move, and a frame to many is compressed once. Where the extension was not agreed on, nothing of this runs.
"""
