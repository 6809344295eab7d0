#include "cache/tag.h"

/* Takes the next word off a value; false at the end. */
static bool
next_word(struct bytes *rest, bool commas, struct bytes *word)
{
	size_t n = 0;

	while (rest->n > 0 && (rest->p[0] == ' ' || rest->p[0] == '\t' ||
				  (commas && rest->p[0] == ',')))
		*rest = bytes_skip(*rest, 1);
	while (n < rest->n && rest->p[n] != ' ' && rest->p[n] != '\t' &&
	       !(commas && rest->p[n] == ','))
		n++;
	*word = bytes_of(rest->p, n);
	*rest = bytes_skip(*rest, n);
	return n > 0;
}

struct builder {
	char *p; /* CACHE_TAGS_MAX bytes */
	size_t n;
};

static int
add(struct builder *b, struct bytes tag)
{
	size_t space = b->n > 0;

	/* What no admin could type is nobody's tag. */
	for (size_t i = 0; i < tag.n; i++)
		if (tag.p[i] <= ' ' || tag.p[i] > '~')
			return 0;
	if (cache_tags_have(bytes_of(b->p, b->n), tag))
		return 0;
	if (tag.n > CACHE_TAGS_MAX - b->n - space ||
	    b->n + space > CACHE_TAGS_MAX)
		return LARDER_TOOBIG;
	if (space)
		b->p[b->n++] = ' ';
	memcpy(b->p + b->n, tag.p, tag.n);
	b->n += tag.n;
	return 0;
}

static int
add_fields(struct builder *b, const struct http_head *response,
    struct bytes name, bool commas)
{
	const struct http_field *f = NULL;
	struct bytes rest, word;

	while ((f = http_next_named(response, name, f)) != NULL) {
		rest = f->value;
		while (next_word(&rest, commas, &word)) {
			int err = add(b, word);

			if (err < 0)
				return err;
		}
	}
	return 0;
}

int
cache_tags(const struct http_head *response, const struct cache_policy *policy,
    struct arena *arena, struct bytes *out)
{
	struct builder b = {NULL, 0};
	int err = 0;

	*out = (struct bytes){"", 0};
	if (policy->tags_count == 0 &&
	    (!policy->targeted ||
		(http_next_named(response, BYTES("Cache-Tag"), NULL) == NULL &&
		    http_next_named(response, BYTES("Surrogate-Key"), NULL) ==
			NULL)))
		return 0;
	b.p = arena_alloc(arena, CACHE_TAGS_MAX);
	if (b.p == NULL)
		return LARDER_NOMEM;
	for (unsigned i = 0; err == 0 && i < policy->tags_count; i++)
		err = add(&b, bytes_str(policy->tags[i]));
	if (err == 0 && policy->targeted)
		err = add_fields(&b, response, BYTES("Cache-Tag"), true);
	if (err == 0 && policy->targeted)
		err = add_fields(&b, response, BYTES("Surrogate-Key"), false);
	*out = bytes_of(b.p, b.n);
	return err;
}

bool
cache_tags_have(struct bytes tags, struct bytes tag)
{
	struct bytes word;

	while (next_word(&tags, false, &word))
		if (bytes_eq(word, tag))
			return true;
	return false;
}
