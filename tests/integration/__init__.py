"""The shim between real servers (uWSGI, gunicorn, Glance) and real clients (glance, openstacksdk, curl)."""
