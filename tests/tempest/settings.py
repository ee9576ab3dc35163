"""tempest.conf: where keystone is, who the administrator is, and what this Glance offers.

Users and projects are tempest's own affair: it makes them for each class of tests, and removes them.
"""

from shim.demo.configuration import Settings, render_settings
from tests.identity.api import Identity
from tests.identity.keystone import PASSWORD
from tests.tempest.downloads import QCOW2, RAW

ALTERNATE_SERVICE = "image_remote"
"""Type in the catalog of the second node."""


def tempest_configuration(identity: Identity, downloads: str, directory: str) -> str:
    """The text of tempest.conf; ``downloads`` is a URL, ``directory`` is for locks and logs."""
    absent = dict.fromkeys(("cinder", "neutron", "nova", "swift", "horizon"), "false")
    sections: Settings = {
        "DEFAULT": {"log_file": f"{directory}/tempest.log", "debug": "true"},
        "oslo_concurrency": {"lock_path": f"{directory}/locks"},
        "identity": {"uri_v3": f"{identity.url}/v3", "auth_version": "v3"},
        "auth": {
            "admin_username": "admin",
            "admin_password": PASSWORD,
            "admin_project_name": "admin",
            "tempest_roles": "member",
            "create_isolated_networks": "false",
        },
        "service_available": {"glance": "true", **absent},
        "enforce_scope": {"glance": "true"},
        "image": {
            "http_image": f"{downloads}/{RAW}",
            "http_qcow2_image": f"{downloads}/{QCOW2}",
            "alternate_image_endpoint": ALTERNATE_SERVICE,
            "image_caching_enabled": "true",
            # What takes longer than two minutes here will not come at all.
            "build_timeout": "120",
        },
        "image-feature-enabled": {
            "import_image": "true",
            "os_glance_reserved": "true",
            "manage_locations": "true",
            "http_store_enabled": "true",
            "store_weight_enabled": "true",
            "do_secure_hash": "true",
            # With it tempest leaves out all tests that list images: their data is of no format.
            "image_format_enforcement": "false",
        },
    }
    return render_settings(sections, {})
