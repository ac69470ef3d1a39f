#!/usr/bin/env python3
"""Every link in the pages leads somewhere: the file exists, and has the heading. `tests/lib/links_check.py FOLDER`; exits with 1 if one does not."""
import pathlib
import re
import sys

FENCE = re.compile(r"^\s*```.*?^\s*```", re.M | re.S)
LINK = re.compile(r"\]\(([^)\s]+)\)")


def anchors(page):
    """The names that GitHub gives to headings."""
    found = set()
    for heading in re.findall(r"^#+ +(.*)$", FENCE.sub("", page.read_text()), re.M):
        heading = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading)
        name = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        number = 0
        while (name if number == 0 else f"{name}-{number}") in found:
            number += 1
        found.add(name if number == 0 else f"{name}-{number}")
    return found


def pages(root):
    """Those of the project, not of its build folders."""
    for top in sorted(root.iterdir()):
        if top.suffix == ".md":
            yield top
        elif top.is_dir() and not top.name.startswith((".", "build")):
            yield from sorted(top.rglob("*.md"))


def main():
    root = pathlib.Path(sys.argv[1])
    links, broken = 0, []
    for page in pages(root):
        for link in LINK.findall(re.sub(r"`[^`\n]*`", "", FENCE.sub("", page.read_text()))):
            if link.startswith(("http://", "https://", "mailto:")):
                continue
            links += 1
            path, _, anchor = link.partition("#")
            target = page.parent / path if path else page
            if not target.exists():
                broken.append(f"{page.relative_to(root)}: there is no {link}")
            elif anchor and target.suffix == ".md" and anchor not in anchors(target):
                broken.append(f"{page.relative_to(root)}: no heading #{anchor} in {path or page.name}")
    print("\n".join(broken) or f"{links} links lead somewhere")
    return 1 if broken or links == 0 else 0


sys.exit(main())
