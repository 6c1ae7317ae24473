"""What `wspulse new` writes: a chat with its test, page, settings, image and unit, as templates in `project`, and what makes a
project of a folder's name out of them. It may import `errors` alone. Begin with `starter`.
"""
