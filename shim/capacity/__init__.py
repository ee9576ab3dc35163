"""How much an installation needs: spool, workers and machines, from what its clients do.

``sizes`` and ``load`` say what comes in, ``arithmetic`` and ``line`` what it holds on average and at its
peaks, ``plan`` what to provide for that; ``simulation`` plays the same load event by event, to check them.
Nothing here runs while requests are served.
"""
