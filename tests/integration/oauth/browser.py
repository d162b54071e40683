"""
Plays a person's browser for a login by PKCE: logs in as Ada, and allows or denies the program.

Run as ``python -m tests.integration.oauth.browser ADDRESS [deny]``; SSL_CERT_FILE names the
authority.
"""

import html
import re
import sys
from urllib.parse import parse_qs, urlsplit

import httpx


def main(address: str, decision: str = "allow") -> None:
    with httpx.Client() as browser:
        login = browser.get(address)
        [return_to] = parse_qs(urlsplit(login.headers["location"]).query)["return_to"]
        place = urlsplit(address)
        origin = f"{place.scheme}://{place.netloc}"
        entered = browser.get(f"{origin}/login/ada", params={"return_to": return_to})
        page = browser.get(origin + entered.headers["location"])
        [action] = re.findall(r'<form method="post" action="([^"]*)"', page.text)
        fields = dict(re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)"', page.text))
        decided = browser.post(
            origin + html.unescape(action),
            data={**fields, "decision": decision},
            headers={"sec-fetch-site": "same-origin"},
        )
        browser.get(decided.headers["location"])


if __name__ == "__main__":
    main(*sys.argv[1:])
