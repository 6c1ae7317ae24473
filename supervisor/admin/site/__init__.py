"""What the process of the admin address serves: answers over HTTP, made of what a client of the control socket learns. It may
import `token_file` and `spec` of its parent, `client` and `protocol`. Begin with `serving`, then `application`.
"""
