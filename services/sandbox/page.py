"""A page to read the vendors' threads on, type a comment into, and watch the answer arrive.

Works without JavaScript; with it, the posts refresh by themselves. Every text shown was written by someone
else and is escaped; the page may load and run nothing but its own few lines. A vendor hands in a
`VendorPage`; nothing here knows what an issue or a channel is.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape
from string import Template
from urllib.parse import quote

from aiohttp import web

WEB_PREFIX = "/web"
REFRESH_MS = 1_500
THREADS_SHOWN_MAX = 200


@dataclass(frozen=True, slots=True)
class Post:
    """`where` says which part of the thread it belongs to, if it has parts."""

    anchor: str
    author: str
    is_bot: bool
    written_at: datetime
    where: str
    body: str
    reactions: Sequence[str]


@dataclass(frozen=True, slots=True)
class ThreadPage:
    """`places` are the parts of the thread a comment can go to: what the form sends and what it shows."""

    path: str
    title: str
    posts: Sequence[Post]
    places: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Typed:
    """What came out of the form, unchecked; only its length is bounded."""

    place: str
    author: str
    standing: str
    body: str


@dataclass(frozen=True, slots=True)
class VendorPage:
    """`author` and the first of `standings` are what the form begins with. `thread` gives None for a path it
    does not know; `say` raises ValueError with a readable reason.
    """

    vendor: str
    author: str
    standings: Sequence[str]
    threads: Callable[[], Sequence[ThreadPage]]
    thread: Callable[[str], ThreadPage | None]
    say: Callable[[web.Request, str, Typed], Awaitable[None]]


class PageRoutes:
    """`table` is the whole of it."""

    def __init__(self, vendors: Sequence[VendorPage]) -> None:
        self._vendors = {vendor.vendor: vendor for vendor in vendors}

    def table(self) -> list[web.RouteDef]:
        """The list of threads, and each thread's page."""
        thread = WEB_PREFIX + "/{vendor}/{path:.+}"
        return [
            web.get("/", self.list_threads),
            web.get(thread, self.show_thread),
            web.post(thread, self.say),
        ]

    async def list_threads(self, request: web.Request) -> web.Response:
        """The newest THREADS_SHOWN_MAX of each vendor."""
        del request
        rows = [
            f'<li><a href="{_address(vendor.vendor, thread.path)}">{escape(thread.title)}</a> '
            f"<small>{escape(thread.path)}, comments: {len(thread.posts) - 1}</small></li>"
            for vendor in self._vendors.values()
            for thread in list(vendor.threads())[-THREADS_SHOWN_MAX:]
        ]
        nothing = "<p>No threads yet: add one through the admin API under <code>/_sandbox/</code>.</p>"
        return _html("Threads", f"<ul>{''.join(rows)}</ul>" if rows else nothing)

    async def show_thread(self, request: web.Request) -> web.Response:
        """The posts of one thread, and a form to add one."""
        vendor, thread = self._find(request)
        return _html(thread.title, _posts(thread) + _form(vendor, thread))

    async def say(self, request: web.Request) -> web.Response:
        """Take the form, then show the thread again; what was refused stays in the form."""
        vendor, thread = self._find(request)
        if request.headers.get("Origin", str(request.url.origin())) != str(request.url.origin()):
            raise web.HTTPForbidden(text="a form of another site")
        form = await request.post()
        typed = Typed(*(str(form.get(name, "")) for name in ("place", "author", "standing", "body")))
        try:
            await vendor.say(request, thread.path, typed)
        except ValueError as error:
            refused = f'<p class="refused" role="alert">{escape(str(error))}</p>'
            page = _posts(thread) + refused + _form(vendor, thread, typed.body)
            return _html(thread.title, page, status=422)
        raise web.HTTPSeeOther(_address(vendor.vendor, thread.path) + "#end")

    def _find(self, request: web.Request) -> tuple[VendorPage, ThreadPage]:
        vendor = self._vendors.get(request.match_info["vendor"])
        thread = vendor and vendor.thread(request.match_info["path"])
        if vendor is None or thread is None:
            raise web.HTTPNotFound(text="there is no such thread")
        return vendor, thread


def _address(vendor: str, path: str) -> str:
    return f"{WEB_PREFIX}/{quote(vendor)}/{quote(path)}"


def _posts(thread: ThreadPage) -> str:
    return f'<div id="posts" aria-live="polite">{"".join(map(_post, thread.posts))}<a id="end"></a></div>'


def _post(post: Post) -> str:
    kind = "bot" if post.is_bot else "person"
    reactions = "".join(f"<span>{escape(each)}</span>" for each in post.reactions)
    where = f" · {escape(post.where)}" if post.where else ""
    return (
        f'<article id="{escape(post.anchor)}" class="{kind}"><header><b>{escape(post.author)}</b>{where} '
        f"<time>{post.written_at:%H:%M:%S}</time></header><pre>{escape(post.body)}</pre>"
        f"<footer>{reactions}</footer></article>"
    )


def _form(vendor: VendorPage, thread: ThreadPage, body: str = "") -> str:
    places = "".join(f'<option value="{escape(v)}">{escape(label)}</option>' for v, label in thread.places)
    standings = "".join(f"<option>{escape(each)}</option>" for each in vendor.standings)
    return (
        f'<form method="post" action="{_address(vendor.vendor, thread.path)}">'
        f'<label>Comment<textarea name="body" rows="4" required autofocus>{escape(body)}</textarea></label>'
        f'<label>In<select name="place">{places}</select></label>'
        f'<label>As<input name="author" value="{escape(vendor.author)}" maxlength="39"></label>'
        f'<label>Standing<select name="standing">{standings}</select></label>'
        f"<button>Comment</button></form>"
    )


def _html(title: str, main: str, *, status: int = 200) -> web.Response:
    nonce = secrets.token_urlsafe(16)
    text = _PAGE.substitute(title=escape(title), main=main, nonce=nonce, refresh=REFRESH_MS)
    policy = f"default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; connect-src 'self'"
    policy += "; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    headers = {"Content-Security-Policy": policy, "Cache-Control": "no-store"}
    return web.Response(text=text, content_type="text/html", headers=headers, status=status)


_PAGE = Template("""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>$title · sandbox</title><style nonce="$nonce">
body { font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem;
  color: #1c2024; background: #fcfcfd }
article { border: 1px solid #d9d9e0; border-radius: 8px; margin: 1rem 0; padding: .6rem 1rem }
article.bot { border-left: 4px solid #3e63dd }
header, small, time { color: #60646c } header b { color: #1c2024 }
pre { white-space: pre-wrap; overflow-wrap: anywhere; font: inherit; margin: .5rem 0 }
footer span { margin-right: .5rem }
label { display: block; margin: .5rem 0 }
textarea, input, select { display: block; font: inherit; width: 100%; box-sizing: border-box }
.refused { color: #ab0000 }
@media (prefers-color-scheme: dark) { body { color: #eee; background: #18191b } header b { color: #eee }
  article { border-color: #43484e } a { color: #9eb1ff } .refused { color: #ff9592 } }
</style></head><body><nav><a href="/">All threads</a></nav><h1>$title</h1><main>$main</main>
<script nonce="$nonce">
const posts = document.getElementById("posts");
if (posts) setInterval(async () => {
  const page = new DOMParser().parseFromString(await (await fetch(location.href)).text(), "text/html");
  const fresh = page.getElementById("posts");
  if (fresh && fresh.innerHTML !== posts.innerHTML) posts.innerHTML = fresh.innerHTML;
}, $refresh);
</script></body></html>
""")
