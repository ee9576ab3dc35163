# Glance under gunicorn, behind glance-shim:  gunicorn --config /etc/glance/gunicorn.conf.py
# The shim:  glance-shim serve --upstream http+unix:///run/glance/api.sock
# Paths: Glance and gunicorn are installed in the virtual environment /opt/glance, configured in /etc/glance.

# ruff: noqa: D100 - no module, but settings in Python's syntax

wsgi_app = "glance.wsgi.api:application"
raw_env = ["OS_GLANCE_CONFIG_DIR=/etc/glance"]

# On a unix socket; or "127.0.0.1:9291", and --upstream http://127.0.0.1:9291
bind = "unix:/run/glance/api.sock"
# The shim's user gets in by being a member of the group.
umask = 0o007
# Connections that wait for a worker; at most net.core.somaxconn.
backlog = 1024

# One upload or download at a time each. The shim holds slow clients off, so few are enough.
workers = 4
# Threads that each worker has instead of one; more than 1 makes gunicorn take its gthread workers.
threads = 1
# Glance's threads and database connections do not survive a fork, so it loads in the workers.
preload_app = False
# Their heartbeat: on a disk, that disk's hiccup would look like a dead worker.
worker_tmp_dir = "/dev/shm"  # noqa: S108 - gunicorn makes a file of its own there

# A sync worker gives no sign of life during a request, and is killed after so many seconds, which leaves
# the image in "saving" for good: largest image / 50 MiB/s, the pace at which Glance takes data in. 3600 is
# 175 GiB. (gthread workers give it all the time: there no request is ever ended.)
timeout = 3600
# The same for reload (HUP) and stop (TERM), which wait for running requests so long, with either kind.
graceful_timeout = 3600

# Tokens can be longer than the 8190 bytes that gunicorn takes by default.
limit_request_field_size = 65535
# The shim uses a connection again within 4 s or not at all; the default, 2, would close many before that.
keepalive = 5
# Its socket would be in the home directory, which a service does not have.
control_socket_disable = True

accesslog = "-"
