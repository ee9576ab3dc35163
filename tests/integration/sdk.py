"""Uploads an image with openstacksdk; run by the interpreter of the demo's environment.

Usage: ``sdk.py URL NAME FILE``, where ``-`` for FILE is standard input, as a file object without a length.
"""

import sys

import openstack


def main(url: str, name: str, file: str) -> None:
    """Make the image, and print its id."""
    cloud = openstack.connect(auth_type="none", endpoint=url, image_endpoint_override=url)
    source = {"data": sys.stdin.buffer} if file == "-" else {"filename": file}
    image = cloud.image.create_image(
        name, disk_format="raw", container_format="bare", allow_duplicates=True, wait=True, **source
    )
    sys.stdout.write(f"{image.id}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
