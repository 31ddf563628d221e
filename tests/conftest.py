"""What all tests of running programs share."""

import os
import signal
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from tests.support.mesh import Mesh  # noqa: E402
from tests.support.namespaces import Namespace, join  # noqa: E402
from tests.support.outrigger import Outrigger, copy_programs  # noqa: E402
from tests.support.servers import Server, free_port  # noqa: E402


def pytest_configure():
    """Regression: under nohup(1) the tests' programs, too, were born with SIGHUP ignored."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(scope="session")
def programs(tmp_path_factory):
    """The programs under test, where every uid can run them."""
    return copy_programs(open_to_all(tmp_path_factory.mktemp("bin")))


def open_to_all(directory):
    """Lets every uid reach a temporary directory (pytest closes them)."""
    for parent in [directory, *directory.parents][:3]:
        if parent.stat().st_uid == os.getuid():
            parent.chmod(0o755)
    return directory


@pytest.fixture(autouse=True)
def leave_nothing_running():
    """Ends what a failed test has left."""
    yield
    while Outrigger.started:
        Outrigger.started.pop().program.stop()


@pytest.fixture
def serve():
    """Makes servers that end with the test."""
    servers = []

    def make(function, **options):
        servers.append(Server(function, **options))
        return servers[-1]

    yield make
    for server in servers:
        server.close()


@pytest.fixture
def start(programs, tmp_path):
    """Starts proxies that end with the test; ending must be clean (code, sanitizers)."""
    started = []

    def make(config, **options):
        directory = open_to_all(tmp_path) / f"proxy{len(started)}"
        config = {"health": {"port": free_port()}, **config}
        started.append(Outrigger(programs, directory, config, **options))
        return started[-1]

    yield make
    for proxy in started:
        running = proxy.program.is_running()
        code = proxy.stop()
        assert not running or code == 0, f"exit {code}\n{proxy.log()}"


@pytest.fixture
def plain(start):
    """
    A proxy with one plain listener; returns it and the listener's port. The endpoints (ports, addresses or whole entries) have
    their turns in order, so that a test knows which is next.
    """

    def entry(endpoint):
        if isinstance(endpoint, dict):
            return endpoint
        return {"address": endpoint if isinstance(endpoint, str) else f"127.0.0.1:{endpoint}"}

    def make(endpoints, cluster=None, environment=None, namespace=None, wait=True, **config):
        port = free_port()
        proxy = start({
            "listeners": [{"name": "test", "address": f"127.0.0.1:{port}", "cluster": "test"}],
            "clusters": [{"name": "test", "endpoints": [entry(endpoint) for endpoint in endpoints],
                          "load_balancing": {"policy": "round_robin"}, **(cluster or {})}],
            "drain": {"timeout": "200ms"},
            **config,
        }, environment=environment, namespace=namespace, wait=wait)
        return proxy, port

    return make


@pytest.fixture
def namespace():
    """Makes network namespaces that go with the test."""
    made = []

    def make(label):
        made.append(Namespace(label))
        return made[-1]

    yield make
    for each in made:
        each.delete()


@pytest.fixture
def pods(namespace):
    """Two joined namespaces: client (10.78.0.1, fd4e::1) and server (10.78.0.2, fd4e::2)."""
    client, server = namespace("client"), namespace("server")
    join(client, server, 78)
    return client, server


def pytest_collection_modifyitems(items):
    if os.getuid() == 0:
        return
    for item in items:
        if "/netns/" in str(item.path):
            item.add_marker(pytest.mark.skip(reason="network namespaces with addresses of their own need root"))


@pytest.fixture
def mesh(pods, start, programs, tmp_path):
    """Two pods with certificates; the test starts their sidecars."""
    made = Mesh(pods, start, programs, open_to_all(tmp_path))
    yield made
    made.close()
