/* Who may give which command where: uid, permission, method, health or control. */
#include "tests/unit/unit.h"

#include "control/server.h"

static unsigned runs;
static const char *host = "";

static void run(void *owner, const struct http_request *request, struct http_response *response)
{
    (void)owner;
    (void)request;
    (void)response;
    runs++;
}

static bool is_allowed(void *owner, uid_t uid, enum control_permission permission)
{
    (void)owner;
    return uid == 0 || permission == CONTROL_READ;
}

static const struct control_command commands[] = {
    { .method = "GET", .path = "/ready", .permission = CONTROL_READ, .on_health = true, .run = run },
    { .method = "GET", .path = "/status", .permission = CONTROL_READ, .run = run },
    { .method = "POST", .path = "/quit", .permission = CONTROL_QUIT, .run = run },
};
static struct control_server_config config = { commands, 3, NULL, is_allowed };

static int ask(http_handler handler, const char *method, const char *path, bool has_peer, uid_t uid)
{
    struct http_request request = {
        .method = method, .path = path, .host = host, .has_peer = has_peer, .peer_uid = uid
    };
    struct http_response response = { .status = 200 };

    strbuf_init(&response.body, 1000);
    runs = 0;
    handler(&config, &request, &response);
    assert_int_equal(runs, response.status == 200 ? 1 : 0);
    strbuf_done(&response.body);
    return response.status;
}

static void test_control_commands_need_the_permission_of_their_uid(void **state)
{
    (void)state;
    assert_int_equal(ask(control_on_control_request, "GET", "/status", true, 1000), 200);
    assert_int_equal(ask(control_on_control_request, "POST", "/quit", true, 1000), 403);
    assert_int_equal(ask(control_on_control_request, "POST", "/quit", true, 0), 200);
    assert_int_equal(ask(control_on_control_request, "GET", "/status", false, 0), 403);
}

static void test_control_get_never_changes_anything(void **state)
{
    (void)state;
    assert_int_equal(ask(control_on_control_request, "GET", "/quit", true, 0), 405);
    assert_int_equal(ask(control_on_control_request, "POST", "/ready", true, 0), 405);
    assert_int_equal(ask(control_on_control_request, "GET", "/nothing", true, 0), 404);
}

static void test_control_health_serves_its_own_paths_only(void **state)
{
    (void)state;
    assert_int_equal(ask(control_on_health_request, "GET", "/ready", false, 0), 200);
    assert_int_equal(ask(control_on_health_request, "GET", "/status", false, 0), 404);
    assert_int_equal(ask(control_on_health_request, "POST", "/quit", false, 0), 403);
    assert_int_equal(ask(control_on_health_request, "POST", "/ready", false, 0), 405);
}

static void test_control_admin_changes_nothing_and_answers_local_hosts_only(void **state)
{
    (void)state;
    host = "localhost:15000";
    assert_int_equal(ask(control_on_admin_request, "GET", "/status", false, 0), 200);
    assert_int_equal(ask(control_on_admin_request, "POST", "/quit", false, 0), 403);
    assert_int_equal(ask(control_on_admin_request, "GET", "/quit", false, 0), 405);
    host = "evil.example";
    assert_int_equal(ask(control_on_admin_request, "GET", "/status", false, 0), 403);
}

static void test_control_host_is_local_for_this_machine_only(void **state)
{
    static const char *const local[] = { "localhost",    "LOCALHOST:15000", "127.0.0.1",
                                         "127.1.2.3:80", "[::1]",           "[::1]:15000" };
    static const char *const other[] = { "",
                                         ":80",
                                         "example.com",
                                         "localhost.example.com",
                                         "127.0.0.1.example.com",
                                         "10.0.0.1",
                                         "[::2]:80",
                                         "[",
                                         "[::1",
                                         "128.0.0.1",
                                         "0.0.0.0",
                                         "127.0.0.1111111111111111111111111111111111111111111111111111111111" };

    (void)state;
    for (size_t i = 0; i < sizeof local / sizeof *local; i++)
        assert_true(control_host_is_local(local[i]));
    for (size_t i = 0; i < sizeof other / sizeof *other; i++)
        assert_false(control_host_is_local(other[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_control_commands_need_the_permission_of_their_uid),
        cmocka_unit_test(test_control_get_never_changes_anything),
        cmocka_unit_test(test_control_health_serves_its_own_paths_only),
        cmocka_unit_test(test_control_admin_changes_nothing_and_answers_local_hosts_only),
        cmocka_unit_test(test_control_host_is_local_for_this_machine_only),
    };

    return RUN_TESTS(tests);
}
