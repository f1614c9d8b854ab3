"""A figure that is alive in any page: the module, the data and the picture in one piece of HTML.

Where scripts may not run, the picture with its description stays. Where they may, no kernel and no network is needed.
"""

from __future__ import annotations

import functools
import hashlib
import json
import zlib
from typing import Any

from attnlab.viz.front import module
from attnlab.viz.views.coding import base64_text

# Keys stay inside the figure only if the focused element itself says so; without it JupyterLab cuts the cell on x.
QUIET = 'data-lm-suppress-shortcuts="true"'

BOOT = """
const inflate = async (text) => {{
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"))).blob();
}};
globalThis.attnlab ??= {{}};
globalThis.attnlab["{version}"] ??= inflate("{module}").then(
  (code) => import(URL.createObjectURL(new Blob([code], {{ type: "text/javascript" }}))));
(await globalThis.attnlab["{version}"]).island("{name}", {spec}, "{data}");
"""


@functools.cache
def _coded_module() -> tuple[str, str]:
    """The module deflated, as text, and a name for its version, so that a page loads it once."""
    code = module().encode()
    return base64_text(zlib.compress(code, 9)), hashlib.sha256(code).hexdigest()[:8]


def island(spec: dict[str, Any], data: bytes, inside: str, name: str) -> str:
    """The figure as HTML. `inside`: what is shown where nothing runs, and below the figure where it does."""
    code, version = _coded_module()
    boot = BOOT.format(version=version, module=code, name=name, spec=script_safe(spec), data=base64_text(data))
    return f'<div class="attnlab-island" data-attnlab="{name}">{inside}<script type="module">{boot}</script></div>'


def name_of(*parts: str) -> str:
    """A name made of what is inside: the same figure has the same name in every run."""
    return hashlib.sha256("".join(parts).encode()).hexdigest()[:12]


def script_safe(value: Any) -> str:
    """JSON that may stand in a script: a token "</script>" stays a token."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    for letter in "<>&\u2028\u2029":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return text
