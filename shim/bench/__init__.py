"""A user's own measurements of their deployment: uploads, downloads and small calls, as clients see them.

``plan`` says what is sent, ``service`` to whom, ``traffic`` how; ``runner`` does it in turns and ``keeper``
takes away again what was made. ``results`` is what came of it, and ``statistics`` what may be said of that.
"""
