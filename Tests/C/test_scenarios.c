/* The scenarios of Tests/Fixtures/scenarios/scenarios.txt through the C interface. */
#include "support.h"

/* Sections of a case. */
enum { MODULE, MATCH, CONTEXT, RULES, REWRITE, PASS, EXPECTED, ERROR, SECTIONS };

static const char *const section_names[SECTIONS] = {"module", "match",  "context",  "rules",
                                                    "rewrite", "pass", "expected", "error"};

struct scenario {
    char *id;
    /* What stands behind the section's name, and below it; NULL when there is no such section. */
    char *words[SECTIONS];
    char *texts[SECTIONS];
};

static char *folder;

static char *read_file(void)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/scenarios/scenarios.txt", folder);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    long size = ftell(file);
    rewind(file);
    char *text = malloc((size_t)size + 1);
    assert_int_equal(fread(text, 1, (size_t)size, file), size);
    text[size] = 0;
    fclose(file);
    return text;
}

/* Cuts the next line off; NULL at the end. */
static char *next_line(char **rest)
{
    char *line = *rest;
    if (*line == 0)
        return NULL;
    char *end = strchr(line, '\n');
    *rest = end == NULL ? line + strlen(line) : end + 1;
    if (end != NULL)
        *end = 0;
    return line;
}

/* The next case; its lines are joined again below their sections. */
static int next_scenario(char **rest, struct scenario *scenario)
{
    memset(scenario, 0, sizeof *scenario);
    char *line;
    while (strncmp(*rest, "=== ", 4) != 0)
        if (next_line(rest) == NULL)
            return 0;
    scenario->id = next_line(rest) + 4;
    int section = -1;
    while (**rest != 0 && strncmp(*rest, "=== ", 4) != 0) {
        line = next_line(rest);
        if (strncmp(line, "--- ", 4) == 0) {
            for (section = 0; section < SECTIONS; section++) {
                const size_t length = strlen(section_names[section]);
                if (strncmp(line + 4, section_names[section], length) == 0 && strchr(" ", line[4 + length]) != NULL) {
                    scenario->words[section] = line[4 + length] == 0 ? line + 4 + length : line + 5 + length;
                    scenario->texts[section] = *rest;
                    break;
                }
            }
            if (section == SECTIONS)
                fail_msg("%s: unknown section '%s'", scenario->id, line);
            /* What stood before the heading ends here. */
            line[0] = 0;
        } else if (*rest != line + strlen(line)) {
            line[strlen(line)] = '\n';
        }
    }
    if (**rest == '=')
        (*rest)[-1] = 0;
    return 1;
}

/* The value that a function calls by that name; "-" is the first literal. */
static tenon_value named(const tenon_function *function, const char *name)
{
    const tenon_value *lists[2] = {NULL, NULL};
    size_t counts[2] = {0, 0};
    assert_ok(tenon_function_get_parameters(function, &lists[0], &counts[0]));
    assert_ok(tenon_function_get_bindings(function, &lists[1], &counts[1]));
    for (int list = 0; list < 2; list++)
        for (size_t i = 0; i < counts[list]; i++) {
            tenon_value_info info = TENON_VALUE_INFO_INIT;
            assert_ok(tenon_function_get_value(function, lists[list][i], &info));
            if (strcmp(info.name, name) == 0)
                return lists[list][i];
            for (size_t input = 0; strcmp(name, "-") == 0 && input < info.input_count; input++) {
                tenon_value_info operand = TENON_VALUE_INFO_INIT;
                assert_ok(tenon_function_get_value(function, info.inputs[input], &operand));
                if (operand.kind == TENON_VALUE_CONSTANT)
                    return info.inputs[input];
            }
        }
    fail_msg("no value %%%s", name);
    return TENON_NO_VALUE;
}

static void check_matches(const struct scenario *scenario, const tenon_function *main)
{
    char *rest = scenario->texts[MATCH], *line;
    while ((line = next_line(&rest)) != NULL && *line != 0) {
        char *name = line, *answer = strchr(name, ' ');
        assert_non_null(answer);
        *answer++ = 0;
        char *text = strchr(answer, ' ');
        assert_non_null(text);
        *text++ = 0;
        tenon_pattern *pattern = NULL;
        tenon_match *match = NULL;
        assert_ok(tenon_pattern_parse(text, &pattern));
        assert_ok(tenon_pattern_match(pattern, main, named(main, name), &match));
        if ((match != NULL) != (strcmp(answer, "yes") == 0))
            fail_msg("%s: %s against %%%s: expected %s", scenario->id, text, name, answer);
        tenon_match_release(match);
        tenon_pattern_release(pattern);
    }
}

static void check_context(const struct scenario *scenario, const tenon_function *main)
{
    char *rest = scenario->texts[CONTEXT];
    const char *answer = next_line(&rest);
    tenon_pattern_context *context = NULL;
    tenon_match *match = NULL;
    assert_ok(tenon_pattern_context_parse(rest, &context));
    assert_ok(tenon_pattern_context_match(context, main, &match));
    if ((match != NULL) != (strcmp(answer, "yes") == 0))
        fail_msg("%s: expected %s", scenario->id, answer);
    tenon_match_release(match);
    tenon_pattern_context_release(context);
}

static tenon_status change(const struct scenario *scenario, tenon_module *module)
{
    if (scenario->texts[RULES] != NULL) {
        uint32_t flags = strcmp(scenario->words[RULES], "annotate") == 0     ? TENON_FUSE_ANNOTATE
                         : strcmp(scenario->words[RULES], "parameters") == 0 ? TENON_FUSE_CONSTANTS_AS_PARAMETERS
                                                                              : 0;
        return tenon_module_fuse(module, scenario->texts[RULES], flags, NULL);
    }
    if (scenario->texts[REWRITE] != NULL)
        return tenon_module_rewrite(module, scenario->texts[REWRITE], NULL);
    assert_non_null(scenario->words[PASS]);
    return tenon_module_apply(module, scenario->words[PASS], NULL);
}

static void check_change(const struct scenario *scenario, const char *text)
{
    tenon_module *module = support_parse(text);
    tenon_status status = change(scenario, module);
    const char *expected = scenario->texts[EXPECTED];
    if (scenario->texts[ERROR] != NULL) {
        char *rest = scenario->texts[ERROR];
        const char *part = next_line(&rest);
        assert_int_not_equal(status, TENON_OK);
        if (strstr(tenon_last_error_message(), part) == NULL)
            fail_msg("%s: '%s' does not say '%s'", scenario->id, tenon_last_error_message(), part);
        expected = text;
    } else if (status != TENON_OK) {
        fail_msg("%s: %s", scenario->id, tenon_last_error_message());
    }
    tenon_module *other = support_parse(expected);
    int32_t equal = 0;
    assert_ok(tenon_module_equal(module, other, &equal));
    if (!equal) {
        char *found = support_print(module);
        print_error("%s: found\n%s\nexpected\n%s\n", scenario->id, found, expected);
        tenon_string_release(found);
        fail();
    }
    tenon_module_release(other);
    tenon_module_release(module);
}

static void scenarios_hold(void **state)
{
    (void)state;
    char *text = read_file(), *rest = text;
    struct scenario scenario;
    int count = 0;
    while (next_scenario(&rest, &scenario)) {
        assert_non_null(scenario.texts[MODULE]);
        if (scenario.texts[MATCH] != NULL || scenario.texts[CONTEXT] != NULL) {
            tenon_module *module = support_parse(scenario.texts[MODULE]);
            tenon_function *main = NULL;
            assert_ok(tenon_module_get_function(module, "main", &main));
            tenon_module_release(module);
            if (scenario.texts[MATCH] != NULL)
                check_matches(&scenario, main);
            else
                check_context(&scenario, main);
            tenon_function_release(main);
        } else {
            check_change(&scenario, scenario.texts[MODULE]);
        }
        count++;
    }
    assert_true(count > 35);
    free(text);
}

int main(int argc, char **argv)
{
    folder = argc > 1 ? argv[1] : "Tests/Fixtures";
    const struct CMUnitTest tests[] = {cmocka_unit_test(scenarios_hold)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
