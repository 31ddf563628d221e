"""The dashboard in a real browser: what it shows is what the proxy says, whatever it is called, and it survives a restart."""

import http.client
import json
import os
import re
import time

import pytest

from tests.support.chromium import Chromium
from tests.support.clients import connect_late, ending, exchange, served
from tests.support.outrigger import Outrigger
from tests.support.processes import eventually
from tests.support.servers import echo, free_port

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


@pytest.fixture
def browser(tmp_path):
    made = Chromium(tmp_path)
    yield made
    made.close()


@pytest.fixture
def seen(browser, serve, plain):
    """A proxy with a bit of everything, its page open."""
    admin = free_port()
    proxy, port = plain([serve(echo).port, free_port(), 'unix:/tmp/<img src="x" onerror="document.title=1">'], admin={"port": admin},
                        access_log={"filter": "none"},
                        cluster={"retry": {"attempts": 3, "backoff": {"base": "1ms", "max": "1ms"}}, "circuit_breaker": {"max_connections": 2, "pending_timeout": "100ms"}})
    browser.go(f"http://127.0.0.1:{admin}/")
    eventually(lambda: looks(browser) >= 1, what="the first look", timeout=20)
    return proxy, port, admin


def looks(browser):
    return browser.ask("Number(document.body?.dataset.looks || 0)")


def look_again(browser):
    before = looks(browser)
    eventually(lambda: looks(browser) > before + 1, what="another look", timeout=20)


def table(browser, identifier):
    return browser.ask(f"[...document.getElementById('{identifier}').rows].map(row => [...row.cells].map(cell => cell.textContent))")


def test_what_it_shows_is_what_the_proxy_says(seen, browser, tmp_path):
    proxy, port, _ = seen
    for _ in range(30):
        exchange(port, b"x" * 1000)
    with served(port), served(port):
        with connect_late(port) as third:
            assert ending(third)[1] == "reset"
        look_again(browser)
        stats, status = (json.loads(proxy.request("GET", path)[1]) for path in ("/stats", "/status"))
        assert browser.text("state") == "ready" and browser.text("version") == status["version"]
        assert browser.text("active") == f"2 of {stats['connections']['max']}"
        assert browser.text("opened").endswith(f"{stats['connections']['opened']} in all")
        assert browser.text("retries").endswith(f"{stats['retries']} in all") and stats["retries"] > 0
        assert browser.text("from-client").endswith("29.3 KiB in all")
        rows = table(browser, "clusters")
        assert rows[0][:4] == ["test", "circuit breaker open", "2 of 2", "0"]
        for shown, endpoint in zip(rows[1:], status["clusters"][0]["endpoints"]):
            assert shown[:3] == [endpoint["address"], endpoint["health"], str(endpoint["active"])]
            assert shown[4:7] == [str(endpoint["connects"]), str(endpoint["connect_failures"]), str(endpoint["ejections"])]
        assert table(browser, "endings")[0][1:4] == ["pending_timeout", "proxy", "test"]
    assert browser.text("identity") == "None is configured: there is no mutual TLS."
    browser.ask("document.getElementById('config-details').open = true")
    eventually(lambda: "max_connections: 2" in browser.text("config"), what="the configuration")
    assert browser.ask("document.getElementById('chart-bytes').querySelectorAll('polyline').length") == 2
    assert browser.ask("document.title") == "Outrigger" and browser.ask("document.images.length") == 0
    assert browser.problems == []  # its policy allows all that it does


def test_a_proxy_that_is_not_ready_says_why(seen, browser):
    proxy, _, _ = seen
    proxy.request("POST", "/drain")
    look_again(browser)
    assert browser.text("state") == "draining, not ready" and "blocker: draining" in browser.text("problem-list")
    proxy.request("POST", "/undrain")
    proxy.request("POST", "/faults/test", body="{refuse: {percent: 10%}}")
    look_again(browser)
    assert browser.text("state") == "ready" and "faults are injected on purpose" in browser.text("problem-list")


def test_it_survives_a_restart(browser, serve, programs, tmp_path):
    admin, port = free_port(), free_port()
    config = {"health": {"port": free_port()}, "admin": {"port": admin}, "listeners": [{"name": "test", "address": f"127.0.0.1:{port}", "cluster": "test"}],
              "clusters": [{"name": "test", "endpoints": [{"address": f"127.0.0.1:{serve(echo).port}"}]}]}
    for directory in [tmp_path, *tmp_path.parents][:3]:
        if directory.stat().st_uid == os.getuid():
            directory.chmod(0o755)
    first = Outrigger(programs, tmp_path / "first", config)
    for _ in range(20):
        exchange(port, b"x")
    browser.go(f"http://127.0.0.1:{admin}/")
    eventually(lambda: looks(browser) >= 2, what="looks", timeout=20)
    assert first.stop() == 0
    eventually(lambda: browser.ask("!document.getElementById('lost').hidden"), what="that it is away", timeout=20)
    assert "does not answer since" in browser.text("lost")
    second = Outrigger(programs, tmp_path / "second", config)
    eventually(lambda: browser.ask("document.getElementById('lost').hidden"), what="that it is back", timeout=20)
    look_again(browser)
    assert browser.text("opened").startswith("0.0/s") and browser.text("opened").endswith("0 in all")
    assert second.stop() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_can_be_read_at_every_width_and_in_both_schemes(seen, browser, scheme, tmp_path):
    browser.scheme(scheme)
    for width in (360, 768, 1400):
        browser.size(width, mobile=width < 500)
        time.sleep(0.2)
        assert browser.ask("document.documentElement.scrollWidth <= window.innerWidth")
        browser.screenshot(tmp_path / f"{scheme}-{width}.png")
    contrast = browser.ask("""(() => {
        const light = color => { const [r, g, b] = color.match(/[0-9.]+/g).map(n => { n /= 255; return n <= 0.03928 ? n / 12.92 : ((n + 0.055) / 1.055) ** 2.4; });
                                 return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
        const back = node => { for (; node; node = node.parentElement) { const c = getComputedStyle(node).backgroundColor; if (!/, 0\\)|transparent/.test(c)) return c; } return 'rgb(255, 255, 255)'; };
        let worst = 99;
        for (const node of document.querySelectorAll('body *')) {
            if (![...node.childNodes].some(child => child.nodeType === 3 && child.textContent.trim()) || !node.offsetParent) continue;
            const a = light(getComputedStyle(node).color), b = light(back(node));
            worst = Math.min(worst, (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05));
        }
        return worst; })()""")
    assert contrast >= 4.5  # WCAG 2.1, 1.4.3
    assert browser.ask("[...document.querySelectorAll('th')].every(th => th.scope) && [...document.querySelectorAll('svg')].every(svg => svg.getAttribute('aria-label'))")


def test_the_page_is_whole_and_its_policy_strict(seen):
    _, _, admin = seen
    connection = http.client.HTTPConnection("127.0.0.1", admin, timeout=5)
    connection.request("GET", "/")
    answer = connection.getresponse()
    page = answer.read().decode()
    policy = answer.getheader("Content-Security-Policy")
    connection.close()
    assert answer.getheader("Content-Type") == "text/html; charset=utf-8" and answer.getheader("X-Content-Type-Options") == "nosniff"
    assert policy.startswith("default-src 'none';") and "unsafe" not in policy and "http" not in policy and "*" not in policy
    assert set(re.findall(r"https?://[^\"'\s]+", page)) <= {"http://www.w3.org/2000/svg"}
    assert not re.search(r"<(script|link|img|iframe)[^>]+(src|href)=\"(?!data:)", page) and " onclick" not in page and "innerHTML" not in page
    with open(f"{ROOT}/proxy/observe/dashboard/dashboard.html", encoding="utf-8") as file:
        assert page == file.read()
