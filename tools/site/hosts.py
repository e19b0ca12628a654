"""Links on the site to services that can open a notebook of this repository.

GitHub's workflow says which repository it builds. A site that is built elsewhere does
not know it, and has no such links.
"""

from urllib.parse import quote

# The placeholder for the address in docs/faq.md and in the notebooks' first cell
UNKNOWN = "ADDRESS-OF-THIS-REPOSITORY"
DEFAULT_BRANCH = "main"


def address(repository: str) -> str:
    """The address to clone "owner/name" from; a placeholder if it is not known."""
    return f"https://github.com/{quote(repository)}" if repository else UNKNOWN


def links(repository: str, branch: str, file: str) -> str:
    """Links for one notebook, in Markdown; empty if the repository is not known.

    `file` is the notebook's path in the repository, with forward slashes.
    """
    if not repository:
        return ""
    repository = quote(repository)
    branch = branch or DEFAULT_BRANCH
    blob = f"{repository}/blob/{quote(branch)}/{quote(file)}"
    # A slash in a name would look like one between two parts of the address.
    part = quote(branch, safe="")
    found = {
        "Open in Colab": f"https://colab.research.google.com/github/{blob}",
        "Binder": f"https://mybinder.org/v2/gh/{repository}/{part}"
        f"?labpath={quote(file, safe='')}",
        "Source": f"https://github.com/{blob}",
    }
    return " · ".join(f"[{name}]({target})" for name, target in found.items())
