/* How tokens, digests and names look. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "auth/token.h"
#include "base/limits.h"

static struct bytes text_of(const char *text)
{
    return (struct bytes){text, strlen(text)};
}

static void test_generated(void **state)
{
    char one[TOKEN_TEXT_SIZE], other[TOKEN_TEXT_SIZE];
    (void)state;
    token_generate(one);
    token_generate(other);
    assert_int_equal(strlen(one), TOKEN_TEXT_SIZE - 1);
    assert_memory_equal(one, "chr_", 4);
    assert_int_equal(strspn(one + 4, "0123456789abcdef"), 64);
    assert_string_not_equal(one, other);
    assert_true(token_is_sound(text_of(one)));
}

static void test_sound(void **state)
{
    char token[TOKEN_MAX + 2];
    (void)state;
    memset(token, 'a', sizeof token);
    assert_false(token_is_sound((struct bytes){token, 0}));
    assert_false(token_is_sound((struct bytes){token, TOKEN_MIN - 1}));
    assert_true(token_is_sound((struct bytes){token, TOKEN_MIN}));
    assert_true(token_is_sound((struct bytes){token, TOKEN_MAX}));
    assert_false(token_is_sound((struct bytes){token, TOKEN_MAX + 1}));
    for (int c = 0; c < 256; c++) {
        bool is_allowed = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                          (c != 0 && strchr("-._~+/", c) != NULL);
        token[5] = (char)c;
        assert_int_equal(token_is_sound((struct bytes){token, TOKEN_MIN}), is_allowed);
    }
    assert_true(token_is_sound(text_of("QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVowMTIzNDU2Nw==")));
    assert_false(token_is_sound(text_of("QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVowMTIz=DU2Nw==")));
    assert_false(token_is_sound(text_of("================================================")));
}

/* As sha256sum says. */
static void test_digest(void **state)
{
    static const char expected[] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    uint8_t digest[TOKEN_DIGEST_SIZE], again[TOKEN_DIGEST_SIZE];
    char text[TOKEN_DIGEST_TEXT_SIZE];
    struct error err;
    (void)state;
    assert_int_equal(token_digest(text_of("abc"), digest, &err), STATUS_OK);
    token_digest_format(digest, text);
    assert_string_equal(text, expected);
    assert_true(token_digest_parse(text_of(expected), again));
    assert_memory_equal(digest, again, sizeof digest);
    assert_true(token_digest_parse(text_of("BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD"), again));
    assert_memory_equal(digest, again, sizeof digest);
    memset(again, 7, sizeof again);
    text[63] = 'g';
    assert_false(token_digest_parse(text_of(text), again));
    assert_false(token_digest_parse((struct bytes){expected, 63}, again));
    assert_false(token_digest_parse((struct bytes){expected, 65}, again));
    assert_false(token_digest_parse((struct bytes){expected, 0}, again));
    assert_int_equal(again[0], 7); /* untouched */
}

static void test_names(void **state)
{
    static const char *const good[] = {"a", "ci", "Grafana-2", "alice.example_org", "0"};
    static const char *const bad[] = {"", "-a", "a-", ".a", "a.", "_a", "a b", "a:b", "a/b", "\xc3\xa9", "a\nb", "#a"};
    char name[TOKEN_NAME_MAX + 2];
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_true(token_name_is_valid(text_of(good[i])));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(token_name_is_valid(text_of(bad[i])));
    memset(name, 'n', sizeof name);
    assert_true(token_name_is_valid((struct bytes){name, TOKEN_NAME_MAX}));
    assert_false(token_name_is_valid((struct bytes){name, TOKEN_NAME_MAX + 1}));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_generated),
        cmocka_unit_test(test_sound),
        cmocka_unit_test(test_digest),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
