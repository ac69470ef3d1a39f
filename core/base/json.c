#include "base/json.h"

#include <assert.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/map.h"
#include "base/nearest.h"

/* What cJSON copies of a number before it converts it; a longer one would be cut without a word. */
enum { NUMBER_TEXT_MAX = 63 };

/* cJSON accepts more than RFC 8259 and tells no position. So a strict scanner of our own goes first, and cJSON only
 * builds the tree of a text that is known to be right. */
struct scanner {
    const char *begin, *at, *end;
    uint64_t keys_left; /* 0: no key is looked for; else the scan stops at the key that counts it down to 0 */
    const char *found;  /* that key */
    const char *bad_at; /* where, and what was wrong */
    const char *problem;
};

static bool refuse(struct scanner *s, const char *at, const char *problem)
{
    s->bad_at = at;
    s->problem = problem;
    return false;
}

/* The next byte, or -1 at the end: no byte of the text is mistaken for the end, not even NUL. */
static int peek(const struct scanner *s)
{
    return s->at < s->end ? (unsigned char)*s->at : -1;
}

static void skip_space(struct scanner *s)
{
    while (s->at < s->end && (*s->at == ' ' || *s->at == '\t' || *s->at == '\n' || *s->at == '\r'))
        s->at++;
}

static bool is_digit(int c)
{
    return c >= '0' && c <= '9';
}

static int hex_value(char c)
{
    return is_digit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The four digits behind "\u", or -1. */
static int hex_quad(struct scanner *s)
{
    int value = 0;
    for (int i = 0; i < 4; i++, s->at++) {
        int digit = s->at < s->end ? hex_value(*s->at) : -1;
        if (digit < 0)
            return -1;
        value = value * 16 + digit;
    }
    return value;
}

static bool scan_unicode_escape(struct scanner *s)
{
    const char *begin = s->at - 2;
    int unit = hex_quad(s);
    if (unit < 0)
        return refuse(s, begin, "\"\\u\" must be followed by four hexadecimal digits");
    if (unit == 0)
        return refuse(s, begin, "a string must not hold NUL");
    if (unit >= 0xDC00 && unit <= 0xDFFF)
        return refuse(s, begin, "a low surrogate without a high one before it");
    if (unit < 0xD800 || unit > 0xDBFF)
        return true;
    int low = -1;
    if (s->end - s->at >= 2 && s->at[0] == '\\' && s->at[1] == 'u') {
        s->at += 2;
        low = hex_quad(s);
    }
    if (low < 0xDC00 || low > 0xDFFF)
        return refuse(s, begin, "a high surrogate without a low one behind it");
    return true;
}

static bool scan_string(struct scanner *s)
{
    const char *begin = s->at++;
    for (;;) {
        s->at += plain_text_size(s->at, (size_t)(s->end - s->at));
        int c = peek(s);
        if (c < 0)
            return refuse(s, begin, "a string without its closing '\"'");
        if (c == 0)
            return refuse(s, s->at, "a string must not hold NUL");
        if (c < 0x20)
            return refuse(s, s->at, "a control character in a string must be escaped");
        s->at++;
        if (c == '"')
            return true;
        if (c != '\\')
            continue;
        int escape = peek(s);
        if (escape <= 0 || !strchr("\"\\/bfnrtu", escape))
            return refuse(s, s->at - 1, "\"\\\" must be followed by one of \" \\ / b f n r t u");
        s->at++;
        if (escape == 'u' && !scan_unicode_escape(s))
            return false;
    }
}

static bool scan_digits(struct scanner *s)
{
    if (!is_digit(peek(s)))
        return refuse(s, s->at, "expected a digit");
    while (is_digit(peek(s)))
        s->at++;
    return true;
}

/* strtod reads the locale's decimal point; a plugin may have set a locale. cJSON guards itself in the same way. */
static bool is_finite_number(const char *text, size_t size)
{
    char copy[NUMBER_TEXT_MAX + 1];
    memcpy(copy, text, size);
    copy[size] = '\0';
    char *point = strchr(copy, '.');
    if (point)
        *point = localeconv()->decimal_point[0];
    return isfinite(strtod(copy, NULL));
}

/* RFC 8259 section 6. */
static bool scan_number(struct scanner *s)
{
    const char *begin = s->at;
    if (peek(s) == '-')
        s->at++;
    bool zero = peek(s) == '0';
    if (!scan_digits(s))
        return false;
    if (zero && s->at - begin > 1 + (*begin == '-'))
        return refuse(s, begin, "a number must not begin with 0");
    if (peek(s) == '.') {
        s->at++;
        if (!scan_digits(s))
            return false;
    }
    if (peek(s) == 'e' || peek(s) == 'E') {
        s->at++;
        if (peek(s) == '+' || peek(s) == '-')
            s->at++;
        if (!scan_digits(s))
            return false;
    }
    if (s->at - begin > NUMBER_TEXT_MAX)
        return refuse(s, begin, "a number must have at most 63 characters");
    if (!is_finite_number(begin, (size_t)(s->at - begin)))
        return refuse(s, begin, "the number is too large");
    return true;
}

static bool scan_word(struct scanner *s, const char *word)
{
    size_t size = strlen(word);
    if ((size_t)(s->end - s->at) < size || memcmp(s->at, word, size) != 0)
        return refuse(s, s->at, "expected a value");
    s->at += size;
    return true;
}

static bool scan_value(struct scanner *s, int depth);

static bool scan_key(struct scanner *s)
{
    skip_space(s);
    if (peek(s) != '"')
        return refuse(s, s->at, "expected a key in double quotes");
    if (s->keys_left > 0 && --s->keys_left == 0) {
        s->found = s->at;
        return false;
    }
    if (!scan_string(s))
        return false;
    skip_space(s);
    if (peek(s) != ':')
        return refuse(s, s->at, "expected \":\" after a key");
    s->at++;
    return true;
}

/* An object or an array, from its opening bracket on. */
static bool scan_members(struct scanner *s, int depth, bool object)
{
    if (depth > JSON_DEPTH_MAX)
        return refuse(s, s->at, "nested too deeply");
    int close = object ? '}' : ']';
    s->at++;
    skip_space(s);
    if (peek(s) == close) {
        s->at++;
        return true;
    }
    for (;;) {
        if (object && !scan_key(s))
            return false;
        if (!scan_value(s, depth))
            return false;
        skip_space(s);
        int c = peek(s);
        if (c != ',' && c != close)
            return refuse(s, s->at,
                          object ? "expected \",\" or \"}\" after a value" : "expected \",\" or \"]\" after a value");
        s->at++;
        if (c == close)
            return true;
    }
}

/* Recursion is bounded by JSON_DEPTH_MAX. */
static bool scan_value(struct scanner *s, int depth)
{
    skip_space(s);
    int c = peek(s);
    switch (c) {
    case '{':
    case '[':
        return scan_members(s, depth + 1, c == '{');
    case '"':
        return scan_string(s);
    case 't':
        return scan_word(s, "true");
    case 'f':
        return scan_word(s, "false");
    case 'n':
        return scan_word(s, "null");
    default:
        if (c == '-' || is_digit(c))
            return scan_number(s);
        return refuse(s, s->at, "expected a value");
    }
}

static bool scan_document(struct scanner *s)
{
    size_t bad = 0;
    if (!utf8_valid(s->begin, (size_t)(s->end - s->begin), &bad))
        return refuse(s, s->begin + bad, "not valid UTF-8");
    if (!scan_value(s, 0))
        return false;
    skip_space(s);
    if (s->at < s->end)
        return refuse(s, s->at, "unexpected text after the value");
    return true;
}

/* Columns count characters, not bytes. */
static enum status malformed(struct error *err, const char *begin, const char *at, const char *problem)
{
    size_t line = 1, column = 1;
    for (const char *c = begin; c < at; c++) {
        if (*c == '\n') {
            line++;
            column = 1;
        } else if (((unsigned char)*c & 0xC0) != 0x80) {
            column++;
        }
    }
    return error_set(err, STATUS_MALFORMED, "line %zu, column %zu: %s", line, column, problem);
}

/* Counts keys in the order in which they stand in the text, over all objects. */
struct key_check {
    uint64_t count;
    uint64_t duplicate; /* number of the first key that its object has already; 0 = none */
    const char *name;
};

static must_use enum status check_tree(const cJSON *value, struct key_check *check);

/* Comparing each key with each is quickest for the few of a usual object and never done for more. */
enum { SMALL_OBJECT = 16 };

static bool is_small(const cJSON *object)
{
    int count = 0;
    for (const cJSON *member = object->child; member && count <= SMALL_OBJECT; member = member->next)
        count++;
    return count <= SMALL_OBJECT;
}

/* Has the object this member's key already, before it? `seen` is used for an object that is not small. */
static must_use enum status has_before(const cJSON *object, cJSON *member, struct map *seen, bool *ret)
{
    if (seen) {
        void *before = NULL;
        enum status status = map_put(seen, member->string, strlen(member->string), member, &before);
        *ret = before != NULL;
        return status;
    }
    const cJSON *before = object->child;
    while (before != member && strcmp(before->string, member->string) != 0)
        before = before->next;
    *ret = before != member;
    return STATUS_OK;
}

static must_use enum status check_object(const cJSON *object, struct map *seen, struct key_check *check)
{
    for (cJSON *member = object->child; member && !check->duplicate; member = member->next) {
        bool repeated = false;
        enum status status = has_before(object, member, seen, &repeated);
        check->count++;
        if (repeated) {
            check->duplicate = check->count;
            check->name = member->string;
        } else if (status == STATUS_OK) {
            status = check_tree(member, check);
        }
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

static must_use enum status check_array(const cJSON *array, struct key_check *check)
{
    for (const cJSON *element = array->child; element && !check->duplicate; element = element->next) {
        enum status status = check_tree(element, check);
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

/* Recursion is bounded, because the scanner bounded the depth. */
static enum status check_tree(const cJSON *value, struct key_check *check)
{
    if (cJSON_IsArray(value))
        return check_array(value, check);
    if (!cJSON_IsObject(value))
        return STATUS_OK;
    if (is_small(value))
        return check_object(value, NULL, check);
    struct map seen;
    map_init(&seen);
    enum status status = check_object(value, &seen, check);
    map_deinit(&seen);
    return status;
}

/* A second scan up to that key finds its position; done only for texts that are refused. */
static enum status refuse_duplicate(const char *text, size_t size, const struct key_check *check, struct error *err)
{
    struct scanner s = {.begin = text, .at = text, .end = text + size, .keys_left = check->duplicate};
    (void)scan_document(&s); /* stops at the key, so it gives false */
    assert(s.found);
    char problem[128];
    size_t kept = utf8_cut(check->name, strlen(check->name), 64);
    (void)snprintf(problem, sizeof problem, "the key \"%.*s\" is there twice", (int)kept, check->name);
    return malformed(err, text, s.found, problem);
}

enum status json_parse(const char *text, size_t size, cJSON **ret, struct error *err)
{
    if (size == 0)
        return error_set(err, STATUS_MALFORMED, "line 1, column 1: expected a value");
    struct scanner s = {.begin = text, .at = text, .end = text + size};
    if (!scan_document(&s))
        return malformed(err, text, s.bad_at, s.problem);
    cJSON *tree = cJSON_ParseWithLength(text, size);
    if (!tree)
        return error_set(err, STATUS_NO_MEMORY, "read JSON of %zu bytes: out of memory", size);
    struct key_check check = {0};
    enum status status = check_tree(tree, &check);
    if (status != STATUS_OK) {
        (void)error_set(err, status, "check the keys of JSON of %zu bytes: out of memory", size);
        goto delete_tree;
    }
    if (check.duplicate) {
        status = refuse_duplicate(text, size, &check, err);
        goto delete_tree;
    }
    *ret = tree;
    return STATUS_OK;

delete_tree:
    cJSON_Delete(tree);
    return status;
}

const char *nearest_word(const char *word, const char *const *known)
{
    size_t size = strnlen(word, NEAREST_WORD_MAX + 1);
    if (size > NEAREST_WORD_MAX)
        return NULL;
    const char *nearest = NULL;
    size_t nearest_distance = 1 + size / 3;
    for (; *known; known++) {
        size_t known_size = strnlen(*known, NEAREST_WORD_MAX + 1);
        if (known_size > NEAREST_WORD_MAX)
            continue;
        size_t distance = edit_distance(word, size, *known, known_size);
        if (nearest ? distance < nearest_distance : distance <= nearest_distance) {
            nearest = *known;
            nearest_distance = distance;
        }
    }
    return nearest;
}
