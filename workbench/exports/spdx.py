# SPDX-License-Identifier: Apache-2.0
"""Which licence each exported file has, as an SPDX 2.3 document, and the text of ours."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workbench.exports.core import LICENCE, Core

__all__ = ["licence_of", "licence_text", "spdx_document"]

# SPDX wants a time of creation; that of the run would make other bytes each time.
_CREATED = "1970-01-01T00:00:00Z"
_OTHERS = (
    ("html/fonts/RobotoSlab/", "Apache-2.0"),
    ("html/fonts/", "OFL-1.1"),
    ("html/js/progressbar", "MIT"),
    # Scripts and styles of PeakRDL-html, and pages that are filled into its templates. SHA-1 in
    # JavaScript is of others, who state no licence that has an identifier.
    ("html/js/sha1.js", "NOASSERTION"),
    ("html/", "LGPL-3.0-only"),
)
"""Beginnings of the paths of files that are of others, longer ones first, and their licences."""


def licence_of(path: str) -> str:
    """SPDX identifier of the licence of an exported file."""
    return next((licence for start, licence in _OTHERS if path.startswith(start)), LICENCE)


def licence_text() -> str:
    """LICENSE of the checkout, or of the installed package."""
    file = Path(__file__).parents[2] / "LICENSE"
    if file.is_file():
        return file.read_text("utf-8")
    return importlib.metadata.distribution("meadow").read_text("licenses/LICENSE") or ""


def _file(number: int, path: str, content: bytes) -> dict[str, Any]:
    return {
        "SPDXID": f"SPDXRef-File-{number}",
        "fileName": f"./{path}",
        "checksums": [
            {"algorithm": name, "checksumValue": hashlib.new(name, content).hexdigest()}
            for name in ("SHA1", "SHA256")
        ],
        "licenseConcluded": licence_of(path),
        "licenseInfoInFiles": [licence_of(path)],
        "copyrightText": "NOASSERTION",
    }


def spdx_document(core: Core, files: Mapping[str, bytes]) -> str:
    """JSON of the package that `files`, by their paths, make up."""
    described = [_file(number, *item) for number, item in enumerate(sorted(files.items()))]
    sums = sorted(hashlib.sha1(content).hexdigest() for content in files.values())
    verification = hashlib.sha1("".join(sums).encode()).hexdigest()
    package = {
        "SPDXID": "SPDXRef-Package",
        "name": core.top,
        "versionInfo": core.version,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": True,
        "packageVerificationCode": {"packageVerificationCodeValue": verification},
        "licenseConcluded": " AND ".join(
            sorted({licence_of(path) for path in files} - {"NOASSERTION"})
        ),
        "licenseDeclared": LICENCE,
        "licenseInfoFromFiles": sorted({licence_of(path) for path in files}),
        "copyrightText": "NOASSERTION",
        "comment": f"configuration {core.configuration}, contract {core.contract}",
    }
    contents = [
        {
            "spdxElementId": "SPDXRef-Package",
            "relationshipType": "CONTAINS",
            "relatedSpdxElement": entry["SPDXID"],
        }
        for entry in described
    ]
    document = {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": core.top,
        "documentNamespace": f"urn:meadow:{core.top}:{core.contract}:{verification}",
        "creationInfo": {"created": _CREATED, "creators": [f"Tool: meadow-{core.version}"]},
        "packages": [package],
        "files": described,
        "relationships": [
            {
                "spdxElementId": "SPDXRef-DOCUMENT",
                "relationshipType": "DESCRIBES",
                "relatedSpdxElement": "SPDXRef-Package",
            },
            *contents,
        ],
    }
    return json.dumps(document, indent=1) + "\n"
