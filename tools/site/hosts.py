"""Where a notebook of this repository can be opened, as links of the site.

GitHub's workflow says which repository it builds. A site that is built elsewhere does
not know, and has no such links.
"""

from urllib.parse import quote

# What stands for the address in docs/faq.md and in the notebooks' first cell
UNKNOWN = "ADDRESS-OF-THIS-REPOSITORY"
DEFAULT_BRANCH = "main"


def address(repository: str) -> str:
    """The address to clone "owner/name" from; a placeholder if it is not known."""
    return f"https://github.com/{quote(repository)}" if repository else UNKNOWN


def links(repository: str, branch: str, file: str) -> str:
    """Links for one notebook, in Markdown; no text if the repository is not known.

    `file` is its path in the repository, with forward slashes.
    """
    if not repository:
        return ""
    repository = quote(repository)
    branch = branch or DEFAULT_BRANCH
    blob = f"{repository}/blob/{quote(branch)}/{quote(file)}"
    # A slash in a name would be taken for one between two parts of the address.
    part = quote(branch, safe="")
    found = {
        "Open in Colab": f"https://colab.research.google.com/github/{blob}",
        "Binder": f"https://mybinder.org/v2/gh/{repository}/{part}"
        f"?labpath={quote(file, safe='')}",
        "Source": f"https://github.com/{blob}",
    }
    return " · ".join(f"[{name}]({target})" for name, target in found.items())
