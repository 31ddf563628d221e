/* The YAML tree: positions, and limits on size, depth, nodes, aliases and documents. */
#include "tests/unit/unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/config/node.h"

struct parsed {
    struct arena arena;
    struct report report;
    struct node *root;
    int r;
    char *problems;
};

static struct parsed parse(const char *text, size_t length)
{
    struct parsed parsed = { .root = NULL };

    report_init(&parsed.report, "f");
    parsed.r = node_parse(text, length, &parsed.arena, &parsed.report, &parsed.root);
    parsed.problems = report_text(&parsed.report);
    report_done(&parsed.report);
    return parsed;
}

static void release(struct parsed *parsed)
{
    arena_done(&parsed->arena);
    free(parsed->problems);
}

static void expect_problem(const char *text, size_t length, const char *problem)
{
    struct parsed parsed = parse(text, length);

    assert_int_equal(parsed.r, -EINVAL);
    if (!strstr(parsed.problems, problem))
        fail_msg("\"%s\" is not in \"%s\"", problem, parsed.problems);
    release(&parsed);
}

static void test_node_parse_knows_every_place(void **state)
{
    static const char text[] = "a: 1\nb:\n  - x\n  - {c: 'y'}\n";
    struct parsed parsed = parse(text, strlen(text));
    const struct node *list, *inner;

    (void)state;
    assert_int_equal(parsed.r, 0);
    assert_int_equal(node_get(parsed.root, "a")->column, 4);
    list = node_get(parsed.root, "b");
    assert_int_equal(list->count, 2);
    assert_int_equal(node_item(list, 0)->line, 3);
    inner = node_get(node_item(list, 1), "c");
    assert_string_equal(inner->text, "y");
    assert_false(inner->plain);
    assert_int_equal(inner->line, 4);
    assert_int_equal(inner->column, 9);
    assert_null(node_get(parsed.root, "d"));
    assert_null(node_item(list, 2));
    release(&parsed);
}

static void test_node_parse_alias_stands_for_its_anchor(void **state)
{
    static const char text[] = "a: &x [1, 2]\nb: *x\n";
    struct parsed parsed = parse(text, strlen(text));

    (void)state;
    assert_int_equal(parsed.r, 0);
    assert_ptr_equal(node_get(parsed.root, "a"), node_get(parsed.root, "b"));
    release(&parsed);
}

static void test_node_parse_refuses_what_is_out_of_bounds(void **state)
{
    size_t length = NODE_MOST_BYTES + 1;
    char *large = malloc(length + 1), deep[200] = "", aliases[2000] = "a: &x 1\nb: [";

    (void)state;
    memset(large, ' ', length);
    large[length] = '\0';
    expect_problem(large, length, "larger than 16 MiB");
    for (size_t i = 0; i < NODE_MOST_NODES + 1; i++)
        memcpy(large + 2 * i, i == 0 ? "[ " : "1,", 2);
    expect_problem(large, 2 * (NODE_MOST_NODES + 1), "too many values");
    free(large);
    memset(deep, '[', 100);
    expect_problem(deep, strlen(deep), "nested too deeply");
    for (int i = 0; i < NODE_MOST_ALIASES + 1; i++)
        strcat(aliases, i == 0 ? "*x" : ",*x");
    strcat(aliases, "]\n");
    expect_problem(aliases, strlen(aliases), "too many aliases");
    expect_problem("a: &x [*x]\n", 11, "inside an anchored value");
    expect_problem("a: *x\n", 6, "without its anchor");
    expect_problem("a: 1\n---\nb: 2\n", 14, "a second document");
    expect_problem("a: \"\\0\"\n", 8, "NUL");
    expect_problem("a: [1\n", 6, "not YAML");
    expect_problem("a: \xff\n", 5, "not UTF-8");
}

static void test_node_parse_empty_document_has_no_root(void **state)
{
    struct parsed parsed = parse("# nothing\n", 10);

    (void)state;
    assert_int_equal(parsed.r, 0);
    assert_null(parsed.root);
    release(&parsed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_node_parse_knows_every_place),
        cmocka_unit_test(test_node_parse_alias_stands_for_its_anchor),
        cmocka_unit_test(test_node_parse_refuses_what_is_out_of_bounds),
        cmocka_unit_test(test_node_parse_empty_document_has_no_root),
    };

    return RUN_TESTS(tests);
}
