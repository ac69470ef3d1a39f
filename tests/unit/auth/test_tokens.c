/* The file of tokens: what is taken, what is refused with which line, and that no line is ever shown. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "auth/tokens.h"
#include "base/limits.h"

#define A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B "BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB"

static struct tokens *parse(struct bytes text)
{
    struct tokens *tokens = NULL;
    struct error err;
    if (tokens_parse("tokens", text, &tokens, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    return tokens;
}

static struct bytes text_of(const char *text)
{
    return (struct bytes){text, strlen(text)};
}

static const char *find(const struct tokens *tokens, int byte)
{
    uint8_t digest[TOKEN_DIGEST_SIZE];
    memset(digest, byte, sizeof digest);
    return tokens_find(tokens, digest);
}

static void test_taken(void **state)
{
    static const char *const texts[] = {
        "ci:" A "\nalice:" B "\n",
        "ci:" A "\nalice:" B,                          /* no newline at the end */
        "ci:" A "\r\nalice:" B "\r\n",                 /* as Windows writes it */
        "\n# who:what\n  \t\n ci : " A " \n\t#ci:" A "\nalice:\t" B "\t\n\n",
        "#\xff\xfe anything\nci:" A "\n\r\nalice:" B "\n",
    };
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct tokens *tokens = parse(text_of(texts[i]));
        assert_int_equal(tokens_count(tokens), 2);
        assert_string_equal(find(tokens, 0xaa), "ci");
        assert_string_equal(find(tokens, 0xbb), "alice");
        assert_null(find(tokens, 0xab));
        assert_null(find(tokens, 0));
        tokens_free(tokens);
    }
}

/* One bit of a digest, wherever it is, makes another one of it. */
static void test_every_bit_counts(void **state)
{
    struct tokens *tokens = parse(text_of("ci:" A "\nalice:" B "\n"));
    uint8_t digest[TOKEN_DIGEST_SIZE];
    (void)state;
    memset(digest, 0xaa, sizeof digest);
    for (size_t bit = 0; bit < 8 * sizeof digest; bit++) {
        digest[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_null(tokens_find(tokens, digest));
        digest[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    assert_string_equal(tokens_find(tokens, digest), "ci");
    tokens_free(tokens);
}

static void refuse(struct bytes text, enum status code, const char *message)
{
    struct tokens *tokens = NULL;
    struct error err;
    assert_int_equal(tokens_parse("tokens", text, &tokens, &err), code);
    assert_null(tokens);
    if (strncmp(err.message, message, strlen(message)) != 0)
        fail_msg("\"%s\" does not begin with \"%s\"", err.message, message);
    assert_null(strstr(err.message, "secret")); /* what stands in a line may be a token */
}

static void test_refused(void **state)
{
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"", "tokens: no token stands in it"},
        {"\n# nothing\n", "tokens: no token stands in it"},
        {"ci:" A "\nchr_secretsecretsecretsecretsecret\n", "tokens:2: not \"name:digest\"; `chronosctl token hash NAME`"},
        {"ci:chr_secretsecretsecretsecret\n", "tokens:1: what stands behind the colon is not 64 hexadecimal digits"},
        {"ci:" A "a\n", "tokens:1: what stands behind the colon"},
        {"ci:" A ":secret\n", "tokens:1: what stands behind the colon"},
        {"ci: " A " # secret\n", "tokens:1: what stands behind the colon"},
        {"ci:\n", "tokens:1: what stands behind the colon"},
        {":" A "\n", "tokens:1: what stands before the colon is not a name"},
        {"my secret:" A "\n", "tokens:1: what stands before the colon"},
        {"\xef\xbb\xbf" "ci:" A "\n", "tokens:1: what stands before the colon"},
        {"ci:" A "\n\nci:" B "\n", "tokens:3: the name of line 1 stands here again; give each token a name"},
        {"ci:" A "\nother:" B "\nalice:" A "\n", "tokens:3: the token of line 1 stands here again; give each holder"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        refuse(text_of(cases[i].text), STATUS_INVALID, cases[i].message);
    refuse((struct bytes){"ci:" A "\n#\0secret\n", 68 + 10}, STATUS_INVALID, "tokens:2: a NUL byte");
    refuse((struct bytes){"\0\0\0\0", 4}, STATUS_INVALID, "tokens:1: a NUL byte");
}

static void test_limits(void **state)
{
    struct buffer text;
    (void)state;
    buffer_init(&text, 2 * TOKENS_FILE_MAX);
    for (int i = 0; i < TOKENS_MAX; i++)
        buffer_appendf(&text, "holder-%d:%064x\n", i, i + 1);
    struct tokens *tokens = parse(buffer_bytes(&text));
    uint8_t digest[TOKEN_DIGEST_SIZE] = {0};
    digest[30] = TOKENS_MAX >> 8;
    digest[31] = TOKENS_MAX & 255;
    assert_int_equal(tokens_count(tokens), TOKENS_MAX);
    assert_string_equal(tokens_find(tokens, digest), "holder-999");
    tokens_free(tokens);
    buffer_appendf(&text, "one-more:" A "\n");
    refuse(buffer_bytes(&text), STATUS_TOO_LARGE, "tokens:1001: more than 1000 tokens");

    /* The longest names fit as well, and a comment that fills the file; one byte more does not. */
    buffer_clear(&text);
    for (int i = 0; i < TOKENS_MAX; i++)
        buffer_appendf(&text, "%0*d:%064x\r\n", TOKEN_NAME_MAX, i, i + 1);
    buffer_append_char(&text, '#');
    while (text.size < TOKENS_FILE_MAX)
        buffer_append_char(&text, 'x');
    tokens_free(parse(buffer_bytes(&text)));
    buffer_append_char(&text, 'x');
    refuse(buffer_bytes(&text), STATUS_TOO_LARGE, "tokens: larger than 256 KiB");
    buffer_clear(&text);
    buffer_appendf(&text, "%0*d:" A "\n", TOKEN_NAME_MAX + 1, 0);
    refuse(buffer_bytes(&text), STATUS_INVALID, "tokens:1: what stands before the colon is not a name");
    buffer_deinit(&text);
}

/* --- the file itself --- */

static char directory[] = "/tmp/chronos-tokens-XXXXXX";
static char path[sizeof directory + 16];

static int make_directory(void **state)
{
    (void)state;
    if (mkdtemp(directory) == NULL)
        return -1;
    (void)snprintf(path, sizeof path, "%s/tokens", directory);
    return 0;
}

static int remove_directory(void **state)
{
    (void)state;
    (void)unlink(path);
    return rmdir(directory);
}

static void write_file(const char *text, mode_t mode)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, strlen(text), file), strlen(text));
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, mode), 0);
}

static void refuse_file(const char *what, enum status code, const char *message)
{
    struct tokens *tokens = NULL;
    struct error err;
    assert_int_equal(tokens_load(what, &tokens, &err), code);
    assert_null(tokens);
    assert_memory_equal(err.message, what, strlen(what));
    if (strstr(err.message, message) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", err.message, message);
}

static void test_file(void **state)
{
    struct tokens *tokens = NULL;
    struct error err;
    (void)state;
    refuse_file(path, STATUS_NOT_FOUND, "No such file");
    refuse_file(directory, STATUS_INVALID, "not a regular file");
    static const mode_t good[] = {0600, 0640, 0644, 0444};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        write_file("ci:" A "\n", 0600); /* writing to 0444 needs privileges that a test may lack */
        assert_int_equal(chmod(path, good[i]), 0);
        assert_int_equal(tokens_load(path, &tokens, &err), STATUS_OK);
        assert_int_equal(tokens_count(tokens), 1);
        tokens_free(tokens);
        assert_int_equal(unlink(path), 0);
    }
    write_file("ci:" A "\n", 0660);
    refuse_file(path, STATUS_INVALID, "others than its owner can write it (mode 0660)");
    write_file("ci:" A "\n", 0602);
    refuse_file(path, STATUS_INVALID, "chmod go-w it");
    write_file("ci\n", 0600);
    refuse_file(path, STATUS_INVALID, "tokens:1: not \"name:digest\"");
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0); /* opening it would wait for a writer */
    refuse_file(path, STATUS_INVALID, "not a regular file");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_taken),
        cmocka_unit_test(test_every_bit_counts),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_limits),
        cmocka_unit_test_setup_teardown(test_file, make_directory, remove_directory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
