"""The two files that a Glance site is configured by, as text: glance-api.conf and its paste pipeline.

Each setting that is not Glance's default is there for a reason learned the hard way; ``glance`` writes the
files, and lets callers change single settings.
"""

from collections.abc import Mapping
from pathlib import Path

Settings = Mapping[str, Mapping[str, str]]

# The pipeline of Glance's own file, with the token filter where keystonemiddleware stands.
PASTE = """\
[composite:glance-api]
paste.composite_factory = glance.api:root_app_factory
/: api
/healthcheck: healthcheck

[pipeline:api]
pipeline = http_proxy_to_wsgi versionnegotiation tokens context rootapp

[composite:rootapp]
paste.composite_factory = glance.api:root_app_factory
/: apiversions
/v2: apiv2app

[app:apiversions]
paste.app_factory = glance.api.versions:create_resource

[app:apiv2app]
paste.app_factory = glance.api.v2.router:API.factory

[app:healthcheck]
paste.app_factory = oslo_middleware:Healthcheck.app_factory

[filter:http_proxy_to_wsgi]
paste.filter_factory = oslo_middleware:HTTPProxyToWSGI.factory

[filter:versionnegotiation]
paste.filter_factory = glance.api.middleware.version_negotiation:VersionNegotiationFilter.factory

[filter:tokens]
paste.filter_factory = glance_shim_tokens:factory

[filter:context]
paste.filter_factory = glance.api.middleware.context:ContextMiddleware.factory
"""


def default_settings(site: Path, python: Path) -> dict[str, dict[str, str]]:
    """Sections and options of glance-api.conf for a site in the directory ``site``."""
    return {
        "DEFAULT": {
            # Without its brackets: ConfigFileValueError.
            "enabled_import_methods": "[glance-direct,web-download,copy-image]",
            # Two, so that copy-image has somewhere to copy to.
            "enabled_backends": "files:file,second:file",
            # Names the host of a staged image. All servers of a site share its staging directory, so they
            # share the name; it must never be the shim's address.
            "worker_self_reference_url": "http://127.0.0.1",
        },
        # sqlite waits so many seconds for a lock; about five uploads that commit at once still fail.
        "database": {"connection": f"sqlite:///{site}/glance.sqlite?timeout=60"},
        "glance_store": {"default_backend": "files"},
        "files": {"filesystem_store_datadir": f"{site}/images"},
        "second": {"filesystem_store_datadir": f"{site}/second"},
        "os_glance_staging_store": {"filesystem_store_datadir": f"{site}/staging"},
        "os_glance_tasks_store": {"filesystem_store_datadir": f"{site}/tasks"},
        # Random bytes declared as qcow2 would be a 415.
        "image_format": {"require_image_format_match": "false"},
        "paste_deploy": {"config_file": f"{site}/etc/glance-api-paste.ini"},
        "wsgi": {"task_pool_threads": "4", "python_interpreter": str(python)},
        # web-download refuses loopback addresses that are not named.
        "import_filtering_opts": {"allowed_hosts": "[127.0.0.1]", "allowed_schemes": "[http,https]"},
        "oslo_policy": {"enforce_scope": "false", "enforce_new_defaults": "false"},
        "oslo_messaging_notifications": {"driver": "noop"},
    }


def render_settings(settings: Settings, changes: Settings) -> str:
    """The text of glance-api.conf: ``settings``, with ``changes`` (section, option, value) over them."""
    sections = {name: {**options, **changes.get(name, {})} for name, options in settings.items()}
    sections |= {name: dict(options) for name, options in changes.items() if name not in settings}
    blocks = (
        # oslo.config would take a dollar sign for a reference to another option.
        f"[{section}]\n"
        + "".join(f"{option} = {value.replace('$', '$$')}\n" for option, value in options.items())
        for section, options in sections.items()
    )
    return "\n".join(blocks)
