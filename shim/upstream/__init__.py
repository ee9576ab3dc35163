"""The servers behind: connections of our own over HTTP/1.1 and the uwsgi protocol, pooled and grouped.

Where to find what, from the outside in:

- An upstream: ``group``. Its servers, and which of them is best: ``roster``, ``member``, ``balance``,
  ``standing``.
- A request's way through it, and on to the next server where one took no connection: ``passage``. The same
  without a task, for small requests: ``pending``, ``sent``, ``descriptor_watch``.
- What any server can do: ``exchange``. One that is reached by connections: ``pool``; which connection a
  request goes on, and when an idle one is used again: ``attempt``, ``idle``.
- One connection: ``connection``; what goes out on it: ``request_sender``; what comes: ``answer``,
  ``response``.
- A request as a value, and its head in either protocol: ``message`` (the uwsgi packet itself:
  ``wire.uwsgi``).
- Bytes: ``address``, ``network``, ``dialing``, ``plain_stream``, ``tls_stream``; by threads: ``sending``,
  ``pouring``. Where errors of sockets become ours: ``border``.
- A body's file that uWSGI opens itself: ``handoff``, ``open_watch``.
- A WSGI application in this process instead of a server: ``application``, ``workers``, ``wsgi_call``,
  ``wsgi_values``, ``answer_pipe``, ``loading``.
- How much a server takes: at once ``sizing``, ``stats``, ``size_watch``; in a second ``drain_rate``.
- Looking after servers beside the requests: ``care``, ``names``, ``probe``, ``health``.
- What the shim asks on its own account: ``question``; for the command check: ``diagnosis``,
  ``handoff_trial``.
- For the console, httpx over all of this: ``transport``.
"""
