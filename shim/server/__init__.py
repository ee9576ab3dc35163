"""uvicorn with a protocol class of our own, which stops at the end of each head.

Where to find what:

- Processes. The supervisor: ``supervise``; how many workers there should be: ``workforce``, ``steps``;
  forking them: ``workers``; how it waits: ``wakeups``; what the two say to each other: ``plan``,
  ``channel``. A worker: ``run``; how it ends: ``leaving``. What systemd hears: ``notify``, ``vitals``.
- Sockets. What may be written: ``addresses``; opened: ``listen``; kept over reloads: ``sockets``; got from
  systemd: ``activation``. How many descriptors there may be: ``descriptors``.
- A client's connection, from its first byte: ``entrance`` (PROXY header, TLS), ``protocol`` (one exchange
  after the other; what is read next: ``reading``; counted among those that are open: ``attendance``),
  ``request_heads``, ``connection_options``, ``connection_waits``; how it is written to and ends:
  ``stream``. One to the admin listener: ``admin_connection``.
- One request: ``exchange``, or ``short`` where no task is needed. Its body: ``request_body``; its answer:
  ``outgoing``.
- Bodies by threads: ``takeover`` lends the socket, ``pump`` or ``tls_pump`` reads, ``lull`` says how long
  to leave a slow client alone. Answers by threads: ``relay``.
- TLS: ``tls`` (the transport), ``records`` (OpenSSL on memory), ``certificates`` (loaded, and anew),
  ``validity`` (for the command check).
"""
