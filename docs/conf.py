"""How Sphinx builds the site from these pages (docs/decisions/0024): ``make docs``.

Nothing that the built pages show comes from elsewhere; a test looks for it.
"""

from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform

import shim

project = "glance-shim"
version = release = shim.__version__
author = "the authors of glance-shim"
project_copyright = author
extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]

# Headings get the anchors that they have on a forge, so that links work in both places.
myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence"]
# A link that leads nowhere stops the build (-W), so do headings that do not follow each other.
nitpicky = True
# A console block has comments and outputs that are no Python prompt; bash would read "#" in outputs wrong.
highlight_language = "none"

html_theme = "furo"
html_title = "glance-shim"
html_copy_source = False
html_show_sphinx = False
html_theme_options = {"navigation_with_keys": True}


class _Folders(SphinxPostTransform):
    """Links to folders of the project, which have no page: their name stays, the link goes."""

    # Before MyST resolves its links, which would warn.
    default_priority = 1

    def run(self) -> None:
        """Replace each link to a folder by its text."""
        here = Path(self.env.doc2path(self.env.docname)).parent
        for link in list(
            self.document.findall(
                lambda node: node.get("reftype") == "myst" if isinstance(node, nodes.Element) else False
            )
        ):
            if (here / str(link["reftarget"])).is_dir():
                link.replace_self(link.children)


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.add_post_transform(_Folders)
