#!/usr/bin/env python3
"""Checks that links between the repository's documents lead somewhere.

Looks at every tracked or new Markdown file. Only relative links are followed: to files, folders,
and headings (as GitHub names them). Prints what leads nowhere and ends with 1 if there was any.
"""
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^(```|~~~).*?^\1", re.M | re.S)
CODE = re.compile(r"`[^`\n]*`")


def anchors(path):
    names = set()
    for line in FENCE.sub("", path.read_text(encoding="utf-8")).splitlines():
        heading = re.match(r"#+\s+(.*)", line)
        if heading:
            text = re.sub(r"[`*]", "", heading.group(1)).strip().lower()
            names.add(re.sub(r"\s", "-", re.sub(r"[^\w\s-]", "", text)))
    return names


def main():
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout.split()
    wrong = 0
    for name in listed:
        page = ROOT / name
        if not page.exists():
            continue
        text = CODE.sub("", FENCE.sub("", page.read_text(encoding="utf-8")))
        for target in LINK.findall(text):
            if re.match(r"[a-z]+:", target):
                continue
            path, _, anchor = target.partition("#")
            to = (page.parent / path).resolve() if path else page
            if not to.exists():
                print(f"{name}: {target} is not there")
                wrong += 1
            elif anchor and to.suffix == ".md" and anchor not in anchors(to):
                print(f"{name}: {target}: no such heading")
                wrong += 1
    print(f"{len(listed)} documents, {wrong} links lead nowhere")
    return 1 if wrong else 0


sys.exit(main())
