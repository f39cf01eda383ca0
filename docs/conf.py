"""The site. In the root of the repository: ``sphinx-build --fail-on-warning --keep-going -c docs . site``.

The root is the source. So links and pictures have the paths that they have on GitHub, and README.md and the pages
beside code and tables are pages of the site too. A link that leads nowhere is a warning, and a warning ends the build.
"""

project = html_title = "intertwine"
root_doc = "docs/index"
include_patterns = ["docs/**.md", "*.md", "figures/gallery.md", "benchmarks/results.md", "evidence/studies/**.md"]

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
myst_heading_anchors = 4  # the anchors that GitHub makes
suppress_warnings = ["myst.header"]  # some reports begin a section two levels lower

# The tutorials run while the site is built. A cell that fails ends the build.
nb_execution_mode = "force"
nb_execution_in_temp = True
nb_execution_raise_on_error = True
nb_execution_timeout = 900  # seconds a cell, on a busy machine too
nb_merge_streams = True
nb_output_stderr = "remove"  # bars, and remarks of libraries

add_module_names = False
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True

html_theme = "furo"
html_show_copyright = False
html_extra_path = ["root"]  # index.html, which opens the first page
