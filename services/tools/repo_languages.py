"""What a defining line looks like in each language, after its indentation.

Matched against the first 300 characters of a line; no pattern may backtrack more than a little on those.
"""

from collections.abc import Sequence
from pathlib import PurePosixPath

MODIFIERS = (
    r"(?:(?:export|default|declare|public|private|protected|internal|static|final|abstract|sealed|open|"
    r"override|async|unsafe|virtual|partial|data|inline|suspend|const|pub(?:\([\w:]+\))?)\s+)*"
)
SCRIPT = (
    MODIFIERS + r"(?:function\*?|class|interface|enum|namespace|type)\s+[\w$]+",
    r"(?:export\s+)?(?:const|let|var)\s+[\w$]+\s*(?::[^=]+)?=\s*(?:async\s*)?"
    r"(?:function\b|\([^)]*\)[^=]*=>|[\w$]+\s*=>)",
)
OBJECTS = (
    MODIFIERS + r"(?:class|interface|enum|record|struct|object|trait|protocol|extension|namespace)\s+\w+",
    MODIFIERS + r"(?:fun|func|def)\s+\w+",
    r"(?:public|private|protected|internal)\s+(?:[\w<>\[\],.?]+\s+)*\w+\s*\([^;]*$",
)
C_FAMILY = (
    r"(?:typedef\s+)?(?:struct|class|enum|union|namespace)\s+\w+[^;]*$",
    r"(?!(?:return|else|if|for|while|switch|case)\b)(?:[A-Za-z_][\w:<>,~]*[\s*&]+)+[\w:~]+\([^;]*$",
)
RUST = (
    MODIFIERS + r'(?:extern\s+(?:"\w+"\s+)?)?(?:fn|struct|enum|trait|impl|mod|type|union|macro_rules!)(?!\w)',
)
ELIXIR = (r"(?:defmodule|defp?|defmacro)\s+\S",)
SHELL = (r"(?:function\s+)?[\w:-]+\s*\(\)\s*[{(]?\s*$", r"function\s+[\w:-]+")
SQL = (
    r"(?i:create|alter)\s+(?i:or\s+replace\s+)?(?i:unique\s+)?"
    r"(?i:table|view|function|index|type|trigger|policy)\b",
)

BY_SUFFIX: dict[str, Sequence[str]] = {
    **dict.fromkeys((".js", ".jsx", ".mjs", ".cjs", ".ts", ".tsx", ".mts", ".vue", ".svelte"), SCRIPT),
    **dict.fromkeys((".java", ".kt", ".kts", ".cs", ".scala", ".swift", ".dart", ".groovy"), OBJECTS),
    **dict.fromkeys((".c", ".h", ".cc", ".cpp", ".cxx", ".hpp", ".hh", ".m"), C_FAMILY),
    **dict.fromkeys((".ex", ".exs"), ELIXIR),
    **dict.fromkeys((".sh", ".bash", ".zsh"), SHELL),
    ".go": (r"(?:func|type)\s+[\w(]",),
    ".graphql": (r"(?:type|interface|input|enum|scalar|union|extend)\s+\w+",),
    ".lua": (r"(?:local\s+)?function\s+[\w.:]+",),
    ".php": (MODIFIERS + r"(?:class|interface|trait|enum|function)\s+\w+",),
    ".proto": (r"(?:message|service|enum|rpc|oneof|extend)\s+\w+",),
    ".rb": (r"(?:class|module|def)\s+\S",),
    ".rs": RUST,
    ".sql": SQL,
    ".tf": (r"(?:resource|data|module|variable|output|provider|locals|terraform)\b[^=]*\{",),
    ".toml": (r"\[\[?[^\]]+\]",),
}
BY_NAME: dict[str, Sequence[str]] = {
    "makefile": (r"[\w./%-]+\s*:(?!=)",),
    "dockerfile": (r"FROM\s+\S",),
}


def patterns(path: PurePosixPath) -> Sequence[str]:
    """The patterns for a lower-case path; none for a language that is not known."""
    return BY_SUFFIX.get(path.suffix) or BY_NAME.get(path.name, ())
