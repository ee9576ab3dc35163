"""What the next bytes of a client are: the one state of its connection, which all parts of it share.

For each request it goes through this; what is in brackets only where there is a body, or a pump for it::

    HEAD -> [HELD -> BODY -> [PUMPED]] -> AFTER -> HEAD

A head or a body that is not to be read to its end leads to REFUSED, the end of the last answer to LINGER, and
the loss of the connection to CLOSED: in this order, and none of them leads back.
"""

import enum

# Bytes of following requests kept while an answer is under way.
MOST_PIPELINED = 64 * 1024


class Reading(enum.Enum):
    """What the next bytes of the client are."""

    HEAD = "head"
    HELD = "held"  # a body that nobody has asked for yet
    BODY = "body"
    PUMPED = "pumped"  # the body again, but read by a pump
    AFTER = "after"  # later requests, kept until the answer is done
    REFUSED = "refused"  # of no interest any more; the answer is under way
    LINGER = "linger"  # read and thrown away until the client has read the answer
    CLOSED = "closed"
